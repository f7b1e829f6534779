package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// line is one line of the table that is not empty.
type line struct {
	number int
	indent int
	text   string
}

// parser reads files, one after the other.
type parser struct {
	fragments map[string][]*Node
	table     map[string]*Method

	file  string
	lines []line
}

func (p *parser) fail(l line, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.file, l.number, fmt.Sprintf(format, args...))
}

// parse adds the calls of a file to the table.
func (p *parser) parse(file, text string) error {
	p.file = file
	for i, s := range strings.Split(text, "\n") {
		if t := strings.TrimSpace(s); t != "" && !strings.HasPrefix(t, "#") {
			p.lines = append(p.lines, line{i + 1, len(s) - len(strings.TrimLeft(s, " ")), t})
		}
	}
	group := ""
	for len(p.lines) > 0 {
		l := p.lines[0]
		p.lines = p.lines[1:]
		words := strings.Fields(l.text)
		switch {
		case l.indent > 0:
			return p.fail(l, "belongs to no call")
		case words[0] == "==":
			group = strings.Trim(l.text, "= ")
		case words[0] == "fragment" && len(words) == 2:
			parts, err := p.parts(l, true)
			if err != nil {
				return err
			}
			p.fragments[words[1]] = parts
		case group == "":
			return p.fail(l, "stands before the first group")
		default:
			m := &Method{Group: group, Name: words[0], Hidden: len(words) == 2 && words[1] == "hidden"}
			if p.table[m.Name] != nil || len(words) > 1 && !m.Hidden {
				return p.fail(l, "is there twice, or is no name of a call")
			}
			if err := p.method(l, m); err != nil {
				return err
			}
			p.table[m.Name] = m
		}
	}
	return nil
}

// method reads what is indented below the name of a call.
func (p *parser) method(head line, m *Method) error {
	for len(p.lines) > 0 && p.lines[0].indent > 0 {
		l := p.lines[0]
		p.lines = p.lines[1:]
		mark, rest, _ := strings.Cut(l.text, " ")
		rest = strings.TrimSpace(rest)
		var err error
		switch mark {
		case ">":
			m.Params, err = p.add(m.Params, line{l.number, l.indent, rest}, true)
		case "<":
			when := ""
			if strings.HasPrefix(rest, "(") {
				when, rest, _ = strings.Cut(rest[1:], ")")
			}
			m.Results, err = p.add(m.Results, line{l.number, l.indent, strings.TrimSpace(rest)}, false)
			if err == nil {
				m.Results[len(m.Results)-1].When = when
			}
		case "$":
			m.Examples = append(m.Examples, rest)
		default:
			m.About = strings.TrimSpace(m.About + " " + l.text)
		}
		if err != nil {
			return err
		}
	}
	if m.About == "" || len(m.Results) == 0 {
		return p.fail(head, "%s says too little", m.Name)
	}
	return nil
}

// nodeLine is a type with its default, how an argument looks in the usage where that
// does not follow from the rest, in back quotes, and what it is.
var nodeLine = regexp.MustCompile("^([a-z{}\\[\\]|]+)(?:=(\"[^\"]*\"|\\S+))?(?:\\s+`([^`]*)`)?(?:\\s+(.*))?$")

var types = map[string]bool{
	"string": true, "hex": true, "num": true, "amount": true, "time": true, "bool": true, "null": true, "any": true, "{}": true, "[]": true,
}

// add reads the node in l and what is indented below it.
func (p *parser) add(list []*Node, l line, named bool) ([]*Node, error) {
	if name, ok := strings.CutPrefix(l.text, "@"); ok {
		parts := p.fragments[name]
		if parts == nil {
			return nil, p.fail(l, "there is no fragment %s", name)
		}
		return append(list, parts...), nil
	}
	n := &Node{}
	rest := l.text
	if named {
		n.Name, rest, _ = strings.Cut(rest, " ")
		n.Name, n.Optional = strings.CutSuffix(n.Name, "?")
		names := strings.Split(n.Name, "|")
		n.Name, n.Aliases = names[0], names[1:]
	}
	found := nodeLine.FindStringSubmatch(strings.TrimSpace(rest))
	if found == nil {
		return nil, p.fail(l, "has no type")
	}
	n.Type, n.Default, n.Usage, n.About = found[1], strings.Trim(found[2], `"`), found[3], found[4]
	n.Optional = n.Optional || n.Default != ""
	if len(n.Type) > 2 && n.Type[0] == '[' && n.Type[1] != ']' {
		n.Parts = []*Node{{Type: n.Type[1 : len(n.Type)-1]}}
		n.Type = "[]"
	}
	for t := range strings.SplitSeq(n.Type, "|") {
		if !types[t] {
			return nil, p.fail(l, "there is no type %s", t)
		}
	}
	parts, err := p.parts(l, n.form() != "[]")
	if err != nil {
		return nil, err
	}
	n.Parts = append(n.Parts, parts...)
	return append(list, n), nil
}

// parts reads all that is indented deeper than l.
func (p *parser) parts(l line, named bool) (list []*Node, err error) {
	for len(p.lines) > 0 && p.lines[0].indent > l.indent {
		next := p.lines[0]
		p.lines = p.lines[1:]
		if list, err = p.add(list, next, named); err != nil {
			return nil, err
		}
	}
	return list, nil
}
