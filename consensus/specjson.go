package consensus

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"lode/internal/plainly"
)

// HexBytes is a byte string that is written in hex in JSON.
type HexBytes []byte

// MarshalText writes lower-case hex.
func (h HexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText reads lower-case hex: one way to write a value, so that its
// canonical form has one hash.
func (h *HexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || hex.EncodeToString(b) != string(text) {
		return fmt.Errorf("%.20q is not lower-case hex", text)
	}
	*h = b
	return nil
}

// Bits is a compact target, written as eight hex digits in JSON.
type Bits uint32

// String gives eight hex digits.
func (b Bits) String() string { return fmt.Sprintf("%08x", uint32(b)) }

// MarshalText is String.
func (b Bits) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (b *Bits) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 16, 32)
	if err != nil || Bits(v).String() != string(text) {
		return fmt.Errorf("%.20q is not a compact target of eight hex digits", text)
	}
	*b = Bits(v)
	return nil
}

// fieldError says which field of a chainspec is wrong, and why.
func fieldError(path, format string, args ...any) error {
	return fmt.Errorf("field %q %s", path, fmt.Sprintf(format, args...))
}

// strictDecoder fills a value from a JSON document that has each field of the
// value once, by its exact name, and no other; one with omitempty may be missing. encoding/json by itself takes
// the last of two equal names, takes names in any case, and leaves out what is
// missing: two nodes could read two networks from one document.
type strictDecoder struct {
	*json.Decoder
	optional string // the path of a field that may be missing
}

// strictJSON fills the struct that into points to.
func strictJSON(doc []byte, into any, optional string) error {
	d := strictDecoder{json.NewDecoder(bytes.NewReader(doc)), optional}
	if err := d.value(reflect.ValueOf(into).Elem(), ""); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the document")
	}
	return nil
}

func (d *strictDecoder) value(v reflect.Value, path string) error {
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Kind() == reflect.Struct && !text:
		return d.object(v, path)
	case v.Kind() == reflect.Slice && !text:
		return d.array(v, path)
	}
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return fieldError(path, "cannot be read: %v", plainly.Error(err))
	}
	if string(raw) == "null" {
		return fieldError(path, "is missing: null is no value")
	}
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
		return fieldError(path, "cannot be %.40s: %v", raw, plainly.Error(err))
	}
	return nil
}

func (d *strictDecoder) object(v reflect.Value, path string) error {
	if err := d.delim('{', path, "is not an object"); err != nil {
		return err
	}
	fields := make(map[string]reflect.Value)
	var names []string // that must not be missing
	for f := range v.Type().Fields() {
		if name, option, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = v.FieldByIndex(f.Index)
			if option != "omitempty" {
				names = append(names, name)
			}
		}
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return fieldError(path, "cannot be read: %v", plainly.Error(err))
		}
		name, _ := token.(string) // the names of an object are strings
		at := join(path, name)
		switch field, ok := fields[name]; {
		case !ok:
			return fieldError(at, "is unknown")
		case seen[name]:
			return fieldError(at, "stands there twice")
		default:
			seen[name] = true
			if err := d.value(field, at); err != nil {
				return err
			}
		}
	}
	if err := d.delim('}', path, "is cut short"); err != nil {
		return err
	}
	for _, name := range names {
		if at := join(path, name); !seen[name] && at != d.optional {
			return fieldError(at, "is missing")
		}
	}
	return nil
}

func (d *strictDecoder) array(v reflect.Value, path string) error {
	if err := d.delim('[', path, "is not a list"); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; d.More(); i++ {
		element := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(element, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
		v.Set(reflect.Append(v, element))
	}
	return d.delim(']', path, "is cut short")
}

func (d *strictDecoder) delim(want json.Delim, path, problem string) error {
	if token, err := d.Token(); err != nil {
		return fieldError(path, "%s: %v", problem, err)
	} else if token != want {
		return fieldError(path, "%s", problem)
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// canonicalJSON writes v as RFC 8785 says: no white space, members sorted by
// name, nothing escaped that need not be. The documents here hold only ASCII
// names and integers up to 2^53, for which that is all there is to it.
func canonicalJSON(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var generic any
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if err := dec.Decode(&generic); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(generic); err != nil { // sorts the members of maps
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// JSON is the document of s, indented: what ParseSpec reads.
func (s *Spec) JSON() []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		panic("encoding a chainspec cannot fail: " + err.Error())
	}
	return out.Bytes()
}
