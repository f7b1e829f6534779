package rpc

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// CreateTemp makes the file with mode 0600; the rename replaces whatever a
	// node that was killed has left.
	f, err := os.CreateTemp(filepath.Dir(name), ".cookie-*")
	if err != nil {
		return "", fmt.Errorf("make cookie: %w", err)
	}
	_, err = f.WriteString(CookieUser + ":" + password)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write cookie %s: %w", name, err), os.Remove(f.Name()))
	}
	return password, nil
}
