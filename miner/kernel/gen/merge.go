package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
)

// record gives the instructions that a function writes.
func record(write func(*build.Context)) []ir.Node {
	ctx := build.NewContext()
	ctx.Function("part")
	write(ctx)
	file, err := ctx.Result()
	if err != nil {
		panic(err)
	}
	return file.Functions()[0].Nodes
}

// merge writes several lists of instructions, evenly spread.
func merge(ctx *build.Context, lists ...[]ir.Node) {
	longest := 0
	for _, list := range lists {
		longest = max(longest, len(list))
	}
	for i := range longest {
		for _, list := range lists {
			for _, node := range list[i*len(list)/longest : (i+1)*len(list)/longest] {
				if instruction, ok := node.(*ir.Instruction); ok {
					ctx.Instruction(instruction)
				}
			}
		}
	}
}
