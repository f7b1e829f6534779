// Package plainly says in plain words what Go's decoders found wrong: their own words
// name Go's types and packages, which mean nothing to whoever wrote the document.
package plainly

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// words is an error with other words.
type words struct {
	text  string
	cause error
}

// Error is in plain words.
func (w *words) Error() string { return w.text }

// Unwrap is the error of the decoder.
func (w *words) Unwrap() error { return w.cause }

// packages are the names of Go packages that begin their errors.
var packages = regexp.MustCompile(`\b(encoding/hex|encoding/base64|json|strconv\.[A-Za-z]+|time): `)

// Error is err, said plainly.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return &words{fmt.Sprintf("%s instead of what belongs here", wrong.Value), err}
		}
		return &words{fmt.Sprintf("field %q cannot be a %s", wrong.Field, wrong.Value), err}
	}
	if wrong, ok := errors.AsType[*strconv.NumError](err); ok {
		return &words{fmt.Sprintf("%q: %s", wrong.Num, number(wrong.Err)), err}
	}
	return &words{packages.ReplaceAllString(err.Error(), ""), err}
}

func number(err error) string {
	if errors.Is(err, strconv.ErrRange) {
		return "the number is too large or too small"
	}
	return "not such a number"
}
