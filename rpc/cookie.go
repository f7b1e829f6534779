package rpc

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"lode/internal/atomicfile"
)

// CookieUser is the user name that goes with a cookie.
const CookieUser = "__cookie__"

// WriteCookie makes a password for the callers that can read name, and writes
// it there. Nobody else can read the file from the moment it exists. Remove it
// when the server has stopped.
func WriteCookie(name string) (password string, err error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", err
	}
	password = hex.EncodeToString(secret)
	// It takes the place of whatever a node that was killed has left.
	temp, err := atomicfile.WriteTemp(filepath.Dir(name), ".cookie-*", []byte(CookieUser+":"+password))
	if err == nil {
		err = atomicfile.Rename(temp, name)
	}
	if err != nil {
		return "", fmt.Errorf("write cookie %s: %w", name, err)
	}
	return password, nil
}
