package rpc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Credential is a user of the RPC server and a hash of the password, as in the
// option rpcauth of Bitcoin Core: USER:SALT$HMAC, where HMAC is HMAC-SHA256 of the
// password with the salt, as it is written, for a key.
type Credential struct{ User, salt, hash string }

// errCredential is the kind of error for what is no Credential.
var errCredential = errors.New("want USER:SALT$HMAC, see `lode rpc-auth`")

// ParseCredential reads USER:SALT$HMAC.
func ParseCredential(s string) (Credential, error) {
	user, rest, ok1 := strings.Cut(s, ":")
	salt, hash, ok2 := strings.Cut(rest, "$")
	if b, err := hex.DecodeString(hash); !ok1 || !ok2 || user == "" || salt == "" || err != nil || len(b) != sha256.Size {
		return Credential{}, errCredential
	}
	return Credential{user, salt, strings.ToLower(hash)}, nil
}

// NewCredential hashes a password with a random salt of 16 bytes.
func NewCredential(user, password string) (Credential, error) {
	if user == "" || strings.ContainsAny(user, ":\n\r") {
		return Credential{}, fmt.Errorf("the user name %.40q: want at least one character, and no colon", user)
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return Credential{}, err
	}
	c := Credential{User: user, salt: hex.EncodeToString(salt)}
	c.hash = c.of(password)
	return c, nil
}

// String is USER:SALT$HMAC.
func (c Credential) String() string { return c.User + ":" + c.salt + "$" + c.hash }

func (c Credential) of(password string) string {
	mac := hmac.New(sha256.New, []byte(c.salt))
	mac.Write([]byte(password))
	return hex.EncodeToString(mac.Sum(nil))
}

// matches takes the same time wherever the difference is.
func (c Credential) matches(user, password string) bool {
	return subtle.ConstantTimeCompare([]byte(c.User), []byte(user)) == 1 &&
		subtle.ConstantTimeCompare([]byte(c.hash), []byte(c.of(password))) == 1
}

// Whitelist says which methods users may call, as the options rpcwhitelist and
// rpcwhitelistdefault of Bitcoin Core. The zero value lets everybody call all.
type Whitelist struct {
	methods map[string]map[string]bool // by user
	closed  bool                       // who is not in it may call nothing
}

// NewWhitelist reads entries USER:METHOD,METHOD. Of two entries for one user that
// holds which is in both. An entry without methods allows none. open says whether
// users without an entry may call all; nil means that they may as long as nobody
// has an entry.
func NewWhitelist(entries []string, open *bool) (w Whitelist, err error) {
	w.closed = len(entries) > 0
	if open != nil {
		w.closed = !*open
	}
	w.methods = make(map[string]map[string]bool)
	for _, entry := range entries {
		user, list, _ := strings.Cut(entry, ":")
		if user == "" {
			return w, fmt.Errorf("%.40q: want USER:METHOD,METHOD", entry)
		}
		before, twice := w.methods[user]
		methods := make(map[string]bool)
		for _, m := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
			if !twice || before[m] {
				methods[m] = true
			}
		}
		w.methods[user] = methods
	}
	return w, nil
}

// lets reports whether a user may call anything at all, and a method.
func (w *Whitelist) lets(user string) bool {
	_, listed := w.methods[user]
	return listed || !w.closed
}

func (w *Whitelist) allows(user, method string) bool {
	methods, listed := w.methods[user]
	if !listed {
		return !w.closed
	}
	return methods[method]
}
