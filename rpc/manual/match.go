package manual

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Kind is the type of a JSON value, as Bitcoin Core calls it.
func Kind(raw json.RawMessage) string {
	switch raw = bytes.TrimLeft(raw, " \t\r\n"); {
	case len(raw) == 0:
		return "null"
	case raw[0] == '{':
		return "object"
	case raw[0] == '[':
		return "array"
	case raw[0] == '"':
		return "string"
	case raw[0] == 't' || raw[0] == 'f':
		return "bool"
	case raw[0] == 'n':
		return "null"
	}
	return "number"
}

// Wants is the JSON type that an argument must have, or "" where the call itself
// looks.
func (n *Node) Wants() string {
	switch n.Type {
	case "string", "hex":
		return "string"
	case "num", "time":
		return "number"
	case "bool":
		return "bool"
	case "{}":
		return "object"
	case "[]":
		return "array"
	}
	return ""
}

var (
	hexText    = regexp.MustCompile(`^"([0-9a-fA-F]{2})*"$`)
	coinNumber = regexp.MustCompile(`^-?\d+\.\d{8}$`)
)

// Check reports how a result differs from all that the table says the call may give.
func (m *Method) Check(result json.RawMessage) error {
	var err error
	for _, r := range m.Results {
		if err = r.check(m.Name, result); err == nil {
			return nil
		}
	}
	return err
}

func (n *Node) check(where string, raw json.RawMessage) error {
	raw = bytes.TrimSpace(raw)
	good := false
	for t := range strings.SplitSeq(n.Type, "|") {
		switch kind := Kind(raw); t {
		case "any":
			good = true
		case "hex":
			good = good || hexText.Match(raw)
		case "amount":
			good = good || coinNumber.Match(raw)
		case "null":
			good = good || kind == "null"
		default:
			good = good || kind == (&Node{Type: t}).Wants()
		}
	}
	if !good {
		return fmt.Errorf("%s: %.80s is not of type %s", where, raw, n.Type)
	}
	switch n.Type {
	case "{}":
		return n.checkObject(where, raw)
	case "[]":
		return n.checkList(where, raw)
	}
	return nil
}

func (n *Node) checkList(where string, raw json.RawMessage) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	for i, element := range list {
		err := fmt.Errorf("%s: the list has elements", where)
		for _, part := range n.Parts {
			if err = part.check(fmt.Sprintf("%s[%d]", where, i), element); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) checkObject(where string, raw json.RawMessage) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	for _, part := range n.Parts {
		if _, there := object[part.Name]; !there && !part.Optional && !strings.HasPrefix(part.Name, "*") {
			return fmt.Errorf("%s: %s is missing", where, part.Name)
		}
	}
	for name, value := range object {
		i := slices.IndexFunc(n.Parts, func(part *Node) bool { return part.Name == name })
		if i < 0 {
			i = slices.IndexFunc(n.Parts, func(part *Node) bool { return strings.HasPrefix(part.Name, "*") })
		}
		if i < 0 {
			return fmt.Errorf("%s: nothing is said of %s", where, name)
		}
		if err := n.Parts[i].check(where+"."+name, value); err != nil {
			return err
		}
	}
	return nil
}
