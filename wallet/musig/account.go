package musig

import (
	"errors"
	"fmt"
	"strings"

	"lode/wallet/descriptor"
)

// ErrAccount is the kind of the errors for keys that make no account.
var ErrAccount = errors.New("not the keys of an account of several owners")

// Account gives the descriptor of an account of several owners:
// tr(musig(KEY,...)/<0;1>/*), whose addresses are derived below the aggregate. A
// key is an extended public key with its origin, [fingerprint/path]xpub. The order
// does not matter.
func Account(keys []string, net descriptor.Network) (*descriptor.Descriptor, error) {
	if n := len(keys); n < 2 || n > MaxParticipants {
		return nil, fmt.Errorf("%w: %d keys, want 2 to %d; all of them sign, there are no thresholds", ErrAccount, n, MaxParticipants)
	}
	refuse := func(i int, format string, args ...any) error {
		return fmt.Errorf("%w: key %d: %s", ErrAccount, i+1, fmt.Sprintf(format, args...))
	}
	seen := make(map[[32]byte]int)
	for i, key := range keys {
		switch {
		case !strings.HasPrefix(key, "["):
			return nil, refuse(i, "want [fingerprint/path]xpub, as `lode wallet musig key` prints it: without its origin its owner does not find it")
		case strings.ContainsAny(key, "(){},*<>;#"):
			return nil, refuse(i, "want one extended key, without a path behind it")
		}
		one, err := descriptor.Parse("rawtr("+key+"/0)", net)
		if err != nil {
			var at *descriptor.Error
			if errors.As(err, &at) {
				return nil, refuse(i, "%s", at.Why)
			}
			return nil, refuse(i, "%v", err)
		}
		if one.IsPrivate() {
			return nil, refuse(i, "it is a private key: want the public one, and show the private one to nobody")
		}
		point, err := one.OutputKey(0)
		if err != nil {
			return nil, refuse(i, "%v", err)
		}
		if first, twice := seen[point]; twice {
			return nil, refuse(i, "it is the same as key %d", first+1)
		}
		seen[point] = i
	}
	return descriptor.Parse("tr(musig("+strings.Join(keys, ",")+")/<0;1>/*)", net)
}
