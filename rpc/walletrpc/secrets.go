package walletrpc

import (
	"math"
	"time"

	"lode/wallet"
)

// secretCalls are the calls about the passphrase, and what needs the secret alone.
func (m *Manager) secretCalls() calls {
	return calls{
		"walletpassphrase":       m.asIs(walletPassphrase),
		"walletlock":             m.asIs(walletLock),
		"walletpassphrasechange": m.asIs(walletPassphraseChange),
		"encryptwallet":          m.asIs(encryptWallet),
		"signmessage":            m.asIs(signMessage),
	}
}

// encrypted fails for a wallet without a passphrase.
func (c *call) encrypted(method string) error {
	if _, encrypted := c.o.unlockedUntil(); !encrypted {
		return fail(codeEncState, "Error: running with an unencrypted wallet, but %s was called.", method)
	}
	return nil
}

// notScanning fails while a rescan needs the secret.
func (c *call) notScanning(what string) error {
	if s := c.o.scanning(); s != nil && s.asked {
		return fail(codeWallet, "Error: the wallet is currently being used to rescan the blockchain for related transactions. Please call `abortrescan` before %s.", what)
	}
	return nil
}

func walletPassphrase(c *call) (any, error) {
	passphrase, seconds := c.a.Text(0, ""), c.a.Integer(1, 0, math.MinInt64, math.MaxInt64)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if err := c.encrypted("walletpassphrase"); err != nil {
		return nil, err
	}
	switch {
	case seconds < 0:
		return nil, fail(codeParameter, "Timeout cannot be negative.")
	case passphrase == "":
		return nil, fail(codeParameter, "passphrase cannot be empty")
	}
	held, err := c.o.files.HoldSecret(c.m.cfg.Spec, passphrase)
	if err != nil {
		return nil, err
	}
	if err := c.w.CheckSecret(held); err != nil {
		held.Close()
		return nil, err
	}
	c.o.unlockFor(held, time.Duration(min(seconds, maxUnlock))*time.Second)
	return nil, nil
}

func walletLock(c *call) (any, error) {
	if err := c.encrypted("walletlock"); err != nil {
		return nil, err
	}
	if err := c.notScanning("locking the wallet"); err != nil {
		return nil, err
	}
	c.o.forget()
	return nil, nil
}

func walletPassphraseChange(c *call) (any, error) {
	before, after := c.a.Text(0, ""), c.a.Text(1, "")
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if err := c.encrypted("walletpassphrasechange"); err != nil {
		return nil, err
	}
	if err := c.notScanning("changing the passphrase"); err != nil {
		return nil, err
	}
	if before == "" || after == "" {
		return nil, fail(codeParameter, "passphrase cannot be empty")
	}
	held, err := c.o.files.HoldSecret(c.m.cfg.Spec, before)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	err = held.Use(func(s *wallet.Secret) error { return c.o.files.ChangePassphrase(s, after, c.m.cfg.WorkFactor) })
	if err == nil {
		c.o.forget() // it is unlocked by the old one
	}
	return nil, err
}

func encryptWallet(c *call) (any, error) {
	passphrase := c.a.Text(0, "")
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if c.w.WatchOnly() {
		return nil, fail(codeEncryption, "Error: wallet does not contain private keys, nothing to encrypt.")
	}
	if _, encrypted := c.o.unlockedUntil(); encrypted {
		return nil, fail(codeEncState, "Error: running with an encrypted wallet, but encryptwallet was called.")
	}
	if err := c.notScanning("encrypting the wallet"); err != nil {
		return nil, err
	}
	if passphrase == "" {
		return nil, fail(codeParameter, "passphrase cannot be empty")
	}
	err := c.o.withSecret(func(s *wallet.Secret) error { return c.o.files.ChangePassphrase(s, passphrase, c.m.cfg.WorkFactor) })
	if err != nil {
		return nil, fail(codeEncryption, "Error: Failed to encrypt the wallet. (%v)", err)
	}
	c.o.mu.Lock()
	c.o.plain = false
	c.o.wipe()
	c.o.mu.Unlock()
	go wallet.Scrub() // what using it has left in the heap
	return "wallet encrypted; its keys are the same as before, and lay on the disk without a passphrase until now. You need to make a new backup with the backupwallet RPC.", nil
}

// signMessage signs as BIP322 says: addresses of Taproot outputs have no older way.
func signMessage(c *call) (any, error) {
	address, text := c.a.Text(0, ""), c.a.Text(1, "")
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if c.o.isLocked() {
		return nil, errLocked
	}
	key, err := c.parseAddress(address)
	if err != nil {
		return nil, fail(codeAddress, "Invalid address")
	}
	if !c.w.Owns(key) {
		return nil, fail(codeAddress, "Private key not available")
	}
	var signature string
	err = c.o.withSecret(func(s *wallet.Secret) error {
		signature, err = c.w.SignMessage(s, address, []byte(text))
		return err
	})
	return signature, err
}
