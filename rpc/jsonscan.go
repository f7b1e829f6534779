package rpc

import (
	"bytes"
	"encoding/json"
	"iter"
)

// Valid JSON is walked where it lies: a list of millions of values takes memory only
// once somebody wants them, and before that they are counted.

// maxValues bounds the values in the parameters of one call: each takes many times
// its bytes once it is decoded.
const maxValues = 1 << 18

// elements are those of a valid JSON array.
func elements(raw []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for rest := afterSpace(raw[1:]); rest[0] != ']'; rest = afterComma(rest) {
			n := valueLen(rest)
			if !yield(json.RawMessage(rest[:n:n])) {
				return
			}
			rest = rest[n:]
		}
	}
}

// members are those of a valid JSON object, in their order. Other than the decoding
// into a struct or a map, it keeps names of another case apart, and shows a name
// that is there twice.
func members(raw []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for rest := afterSpace(raw[1:]); rest[0] != '}'; rest = afterComma(rest) {
			n := valueLen(rest)
			name := rest[:n]
			rest = afterSpace(afterSpace(rest[n:])[1:]) // the colon
			n = valueLen(rest)
			if !yield(unquote(name), json.RawMessage(rest[:n:n])) {
				return
			}
			rest = rest[n:]
		}
	}
}

// unquote decodes a valid JSON string.
func unquote(raw []byte) string {
	if inside := raw[1 : len(raw)-1]; bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

func afterSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// afterComma is what follows a value: another one, or the end of the list.
func afterComma(b []byte) []byte {
	if b = afterSpace(b); b[0] == ',' {
		b = afterSpace(b[1:])
	}
	return b
}

// valueLen is how long the valid JSON value is that b begins with.
func valueLen(b []byte) int {
	switch b[0] {
	case '"':
		return stringLen(b)
	case '{', '[':
	default:
		for i, c := range b {
			switch c {
			case ',', ']', '}', ':', ' ', '\t', '\r', '\n':
				return i
			}
		}
		return len(b)
	}
	for i, depth := 0, 0; ; i++ {
		switch b[i] {
		case '"':
			i += stringLen(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

func stringLen(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// hasMoreValues reports whether valid JSON holds more values than most, those in
// lists and objects counted, and names like values.
func hasMoreValues(raw []byte, most int) bool {
	count := 1
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i += stringLen(raw[i:]) - 1
		case ',', ':', '[', '{':
			if count++; count > most {
				return true
			}
		}
	}
	return false
}
