package plainly

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestError(t *testing.T) {
	var doc struct {
		A struct{ B uint8 }
	}
	decode := func(text string) error {
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		return d.Decode(&doc)
	}
	_, noHex := hex.DecodeString("0x")
	_, noNumber := strconv.Atoi("many")
	_, tooLarge := strconv.ParseUint("256", 10, 8)
	_, noTime := time.ParseDuration("soon")
	for _, test := range []struct {
		err  error
		want string
	}{
		{decode(`{"A": {"B": "x"}}`), `field "A.B" cannot be a string`},
		{decode(`{"A": {"B": 256}}`), `field "A.B" cannot be a number 256`},
		{decode(`[]`), `array instead of what belongs here`},
		{decode(`{"C": 1}`), `unknown field "C"`},
		{decode(`{"A": }`), `invalid character '}' looking for beginning of value`},
		{noHex, `invalid byte: U+0078 'x'`},
		{fmt.Errorf("here: %w", noHex), `here: invalid byte: U+0078 'x'`},
		{noNumber, `"many": not such a number`},
		{tooLarge, `"256": the number is too large or too small`},
		{noTime, `invalid duration "soon"`},
		{io.EOF, "EOF"},
	} {
		if got := Error(test.err); got.Error() != test.want || !errors.Is(got, test.err) {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
	if Error(nil) != nil {
		t.Error("an error of nothing")
	}
}
