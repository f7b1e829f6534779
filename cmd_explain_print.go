package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"lode/rpc/client"
	"lode/rpc/explain"
)

// paint gives text colours: on a terminal, and unless NO_COLOR is set (no-color.org).
type paint bool

// paintFor is for what is written to standard output.
func paintFor(c *cli.Context) paint {
	f, ok := c.App.Writer.(*os.File)
	return paint(ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())))
}

func (p paint) in(colour int, text string) string {
	if !p {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}

func (p paint) good(text string) string { return p.in(32, text) }
func (p paint) bad(text string) string  { return p.in(31, text) }
func (p paint) soft(text string) string { return p.in(2, text) }

// placeTexts says where a thing is, for people.
var placeTexts = map[string]string{
	explain.InChain: "in the active chain", explain.InBranch: "beside the active chain", explain.Invalid: "known as invalid",
	explain.HeaderOf: "only its header is known", explain.InMempool: "in the mempool", explain.Nowhere: "known to nobody here",
}

func printAnswer(c *cli.Context, a *explain.Answer) error {
	if c.Bool("json") {
		b, err := json.MarshalIndent(a, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.App.Writer, string(b))
		return err
	}
	_, err := fmt.Fprint(c.App.Writer, answerText(a, paintFor(c), c.Bool("all")))
	return err
}

// answerText is an explanation for people. Where a rule was broken, those that were kept
// are only counted, unless all are wanted.
func answerText(a *explain.Answer, p paint, all bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", a.Kind, a.ID)
	if a.Height != nil {
		fmt.Fprintf(&b, " at height %d", *a.Height)
	}
	fmt.Fprintf(&b, ", %s: ", placeTexts[a.Place])
	switch a.Verdict {
	case explain.Valid:
		fmt.Fprintln(&b, p.good("it keeps every rule"))
	case explain.Refused:
		fmt.Fprintln(&b, p.bad("refused: "+a.Reason))
	default:
		fmt.Fprintln(&b, "no rule is broken, as far as they could be applied: "+a.Detail)
	}
	kept := 0
	for _, s := range a.Steps {
		if s.OK && a.Verdict == explain.Refused && !all {
			kept++
			continue
		}
		writeStep(&b, s, p)
	}
	if kept > 0 {
		fmt.Fprintf(&b, "  %s\n", p.soft(fmt.Sprintf("%d rules before it were kept; --all shows them", kept)))
	}
	for _, w := range a.Waits {
		fmt.Fprintf(&b, "  waits (%s): %s\n", w.For, w.Text)
	}
	return b.String()
}

func writeStep(b *strings.Builder, s explain.Step, p paint) {
	mark := p.good("kept  ")
	if !s.OK {
		mark = p.bad("broken")
	}
	times := ""
	if s.Times > 1 {
		times = fmt.Sprintf(" (%d times; the last one:)", s.Times)
	}
	var saw []string
	for _, v := range s.Saw {
		saw = append(saw, v.Name+" "+v.Value)
	}
	fmt.Fprintf(b, "  %s %s: %s%s\n", mark, s.Rule, s.Text, times)
	if len(saw) > 0 {
		fmt.Fprintf(b, "         %s\n", strings.Join(saw, ", "))
	}
	fmt.Fprintf(b, "         %s\n", p.soft(s.Source+"; "+s.Code))
	if s.Problem != "" {
		fmt.Fprintf(b, "         %s\n", p.bad(s.Problem))
	}
}

func printDifference(c *cli.Context, own, other *client.Client, d *difference) error {
	w, p := c.App.Writer, paintFor(c)
	if d.Tips[0] == d.Tips[1] {
		_, err := fmt.Fprintf(w, "Both nodes have the tip %s at height %d.\n", d.Common, d.Height)
		return err
	}
	fmt.Fprintf(w, "Up to height %d both nodes have the same chain; its end is block %s.\n", d.Height, d.Common)
	for _, side := range []struct {
		judge, of *client.Client
		a         *explain.Answer
	}{{own, other, d.Own}, {other, own, d.Other}} {
		if side.a == nil {
			fmt.Fprintf(w, "The node at %s has no further block.\n", side.of.URL())
			continue
		}
		fmt.Fprintf(w, "The node at %s says of the next block of %s:\n%s", side.judge.URL(), side.of.URL(), answerText(side.a, p, c.Bool("all")))
	}
	return nil
}
