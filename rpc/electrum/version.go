package electrum

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// version is a version of the protocol: major, minor, revision.
type version [3]int

// The versions of the protocol that are spoken. There is no 1.5.
var versions = []version{{1, 4}, {1, 4, 1}, {1, 4, 2}, {1, 4, 3}, {1, 6}}

var (
	oldest    = versions[0]
	newest    = versions[len(versions)-1]
	v143      = version{1, 4, 3}
	v16       = version{1, 6}
	errNoText = errors.New("not a version of the protocol")
)

// parseVersion reads "1.4" or "1.4.2".
func parseVersion(s string) (v version, err error) {
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return v, errNoText
	}
	for i, part := range parts {
		if len(part) > 4 {
			return v, errNoText
		}
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return v, errNoText
		}
		v[i] = int(n)
	}
	return v, nil
}

// String is the shortest text of a version: "1.4", "1.4.2".
func (v version) String() string {
	s := strconv.Itoa(v[0]) + "." + strconv.Itoa(v[1])
	if v[2] > 0 {
		s += "." + strconv.Itoa(v[2])
	}
	return s
}

func (v version) less(w version) bool { return slices.Compare(v[:], w[:]) < 0 }

// versionRange reads what a client speaks: one version, or the first and the last.
func versionRange(raw json.RawMessage) (from, to version, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return oldest, oldest, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		v, err := parseVersion(one)
		return v, v, err
	}
	var two []string
	if json.Unmarshal(raw, &two) != nil || len(two) != 2 {
		return from, to, errNoText
	}
	from, err1 := parseVersion(two[0])
	to, err2 := parseVersion(two[1])
	return from, to, errors.Join(err1, err2)
}

// negotiate is the newest version that both sides speak, where this side speaks those
// up to latest.
func negotiate(from, to, latest version) (v version, ok bool) {
	for _, v := range slices.Backward(versions) {
		if !to.less(v) && !latest.less(v) {
			return v, !v.less(from)
		}
	}
	return v, false
}
