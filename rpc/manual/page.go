package manual

import (
	"fmt"
	"strings"
)

// Page is docs/rpc.md: all calls with their arguments and results.
func Page() string {
	var b strings.Builder
	b.WriteString(`# The calls of the RPC

Made from the table in rpc/manual by ` + "`go test ./rpc/manual -update`" + `; ` + "`lode rpc help METHOD`" + ` prints the same with examples.
Amounts are coins with eight decimal places unless it says sat. Calls marked hidden are for tests.
`)
	group := ""
	for _, m := range sorted(Methods()) {
		if m.Group != group {
			group = m.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		hidden := ""
		if m.Hidden {
			hidden = " (hidden)"
		}
		fmt.Fprintf(&b, "\n### %s%s\n\n%s\n\n```\n%s\n", m.Name, hidden, m.About, m.Usage())
		if len(m.Params) > 0 {
			b.WriteString("\nArguments:\n" + m.arguments())
		}
		b.WriteString(m.results() + "```\n")
	}
	return b.String()
}
