package manual

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Usage is the first line of a call's help: what may be left out is in brackets.
func (m *Method) Usage() string {
	var b strings.Builder
	b.WriteString(m.Name)
	open := false
	for _, p := range m.Params {
		switch {
		case p.Optional && !open:
			b.WriteString(" (")
		case !p.Optional && open:
			b.WriteString(" )")
		}
		open = p.Optional
		b.WriteString(" " + p.inLine())
	}
	if open {
		b.WriteString(" )")
	}
	return b.String()
}

// inLine is an argument within one line.
func (n *Node) inLine() string {
	if n.Usage != "" {
		return n.Usage
	}
	switch n.form() {
	case "":
		if n.Type == "string" || n.Type == "hex" {
			return `"` + n.Name + `"`
		}
	default:
		if len(n.Parts) > 0 && n.Name != "" && !slices.ContainsFunc(n.Parts, func(part *Node) bool { return !part.Optional }) {
			return n.Name // options, of which there may be many
		}
		inside := []string{}
		for _, part := range n.Parts {
			inside = append(inside, part.memberInLine())
		}
		if n.form() == "[]" {
			return "[" + strings.Join(append(inside, "..."), ",") + "]"
		}
		return "{" + strings.Join(inside, ",") + "}"
	}
	return n.Name
}

func (n *Node) memberInLine() string {
	if n.Name == "" {
		return n.value()
	}
	name := strings.TrimPrefix(n.Name, "*")
	if n.form() != "" {
		return fmt.Sprintf("%q:%s", name, n.inLine())
	}
	return fmt.Sprintf("%q:%s", name, n.value())
}

// value is how a value looks, without what it is made of.
func (n *Node) value() string {
	switch n.Type {
	case "string":
		return `"str"`
	case "hex":
		return `"hex"`
	case "num":
		return "n"
	case "amount":
		return "n.nnnnnnnn"
	case "time":
		return "xxx"
	case "bool":
		return "true|false"
	case "null":
		return "null"
	}
	if n.form() != "" {
		return n.inLine()
	}
	return "..."
}

// words are the types as people read them, those of Bitcoin Core.
var words = map[string]string{
	"string": "string", "hex": "string", "num": "numeric", "amount": "numeric", "time": "numeric", "bool": "boolean", "null": "json null", "any": "any",
	"{}": "json object", "[]": "json array",
}

func (n *Node) typeWords(argument bool) string {
	if argument && n.Type == "amount" {
		return "numeric or string"
	}
	var list []string
	for t := range strings.SplitSeq(n.Type, "|") {
		list = append(list, words[t])
	}
	return strings.Join(list, " or ")
}

// columns are lines in two columns.
type columns struct{ left, right []string }

func (c *columns) add(left, right string) {
	c.left, c.right = append(c.left, left), append(c.right, right)
}

func (c *columns) String() string {
	width := 0
	for i, l := range c.left {
		if c.right[i] != "" {
			width = max(width, len(l))
		}
	}
	var b strings.Builder
	for i, l := range c.left {
		if c.right[i] == "" {
			b.WriteString(l + "\n")
			continue
		}
		fmt.Fprintf(&b, "%-*s    %s\n", width, l, c.right[i])
	}
	return b.String()
}

// what is a node's type and whether it is needed, and what it is.
func (n *Node) what(argument bool) string {
	what := "(" + n.typeWords(argument)
	switch {
	case argument && n.Default != "":
		what += ", optional, default=" + n.Default
	case n.Optional:
		what += ", optional"
	case argument && n.Name != "":
		what += ", required"
	}
	return strings.TrimSpace(what + ") " + n.About)
}

// tree writes a node with all that it is made of.
func (n *Node) tree(c *columns, indent string, argument, last bool) {
	head := indent
	if n.Name != "" {
		head += fmt.Sprintf("%q: ", strings.TrimPrefix(n.Name, "*"))
	}
	comma := ","
	if last {
		comma = ""
	}
	form := n.form()
	if form == "" {
		c.add(head+n.value()+comma, n.what(argument))
		return
	}
	c.add(head+form[:1], n.what(argument))
	more := form == "[]" || len(n.Parts) > 0 && strings.HasPrefix(n.Parts[0].Name, "*")
	for i, part := range n.Parts {
		part.tree(c, indent+"  ", argument, !more && i == len(n.Parts)-1)
	}
	if more {
		c.add(indent+"  ...", "")
	}
	c.add(indent+form[1:]+comma, "")
}

// Help is all that is said of a call, in Bitcoin Core's sections.
func (m *Method) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", m.Usage(), m.About)
	if len(m.Params) > 0 {
		b.WriteString("\nArguments:\n" + m.arguments())
	}
	b.WriteString(m.results())
	b.WriteString("\nExamples:\n")
	for _, example := range m.examples() {
		b.WriteString(example + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func (m *Method) arguments() string {
	var c columns
	for i, p := range m.Params {
		c.add(fmt.Sprintf("%d. %s", i+1, p.Name), p.what(true))
		if len(p.Parts) == 0 {
			continue
		}
		bare := *p
		bare.Name = ""
		var inner columns
		bare.tree(&inner, "     ", true, true)
		inner.right[0] = "" // it stands above
		for j := range inner.left {
			c.add(inner.left[j], inner.right[j])
		}
	}
	return c.String()
}

func (m *Method) results() string {
	var b strings.Builder
	for _, r := range m.Results {
		b.WriteString("\nResult")
		if r.When != "" {
			b.WriteString(" (" + r.When + ")")
		}
		var c columns
		r.tree(&c, "", false, true)
		b.WriteString(":\n" + c.String())
	}
	return b.String()
}

// examples are calls for a shell.
func (m *Method) examples() []string {
	list := m.Examples
	if len(list) == 0 {
		list = []string{""}
	}
	var lines []string
	for _, example := range list {
		var shell, params []string
		dec := json.NewDecoder(strings.NewReader(example))
		for {
			var raw json.RawMessage
			if dec.Decode(&raw) != nil {
				break
			}
			params = append(params, string(raw))
			if raw[0] == '[' || raw[0] == '{' {
				raw = json.RawMessage("'" + string(raw) + "'")
			}
			shell = append(shell, string(raw))
		}
		lines = append(lines,
			strings.TrimSpace("> lode rpc "+m.Name+" "+strings.Join(shell, " ")),
			fmt.Sprintf(`> curl --user myusername --data-binary '{"jsonrpc": "2.0", "id": "curltest", "method": %q, "params": [%s]}' `+
				`-H 'content-type: application/json' http://127.0.0.1:9556/`, m.Name, strings.Join(params, ", ")))
	}
	return lines
}
