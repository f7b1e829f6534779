package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"lode/wallet"
)

// passphraseEnv may hold the passphrase, for machines without a person.
const passphraseEnv = "LODE_WALLET_PASSPHRASE"

// Bounds of what is read of small files, in bytes.
const (
	maxPassphraseFile = 4096
	maxMnemonicFile   = 4096
)

// passphrase is that of an existing wallet; why is for the question.
func (s *walletSession) passphrase(why string) (string, error) {
	if plain, err := s.files.IsPlain(); err != nil || plain { // see createwallet
		return "", err
	}
	given, ok, err := givenPassphrase(s.String("passphrase-file"), os.Getenv(passphraseEnv))
	if ok || err != nil {
		return given, err
	}
	if !onTerminal() {
		return "", noPassphrase("--passphrase-file or " + passphraseEnv)
	}
	answer, err := askSecret(s.Context.Context, fmt.Sprintf("Passphrase of %s, %s: ", s.files.Secret, why))
	if err == nil && answer == "" {
		err = wallet.ErrEmpty
	}
	return answer, err
}

// newPassphrase is that of a wallet to be made.
func (s *walletSession) newPassphrase() (string, error) {
	given, ok, err := givenPassphrase(s.String("passphrase-file"), os.Getenv(passphraseEnv))
	if ok || err != nil {
		return given, err
	}
	if !onTerminal() {
		return "", noPassphrase("--passphrase-file or " + passphraseEnv)
	}
	return s.askTwice("Passphrase for the new wallet: ")
}

// hasExtra reports whether the words are to have a passphrase of their own.
func (s *walletSession) hasExtra() bool {
	return s.Bool("mnemonic-passphrase") || s.String("mnemonic-passphrase-file") != ""
}

// extraPassphrase is that of the words themselves (BIP39), mostly empty.
func (s *walletSession) extraPassphrase() (string, error) {
	if !s.hasExtra() {
		return "", nil
	}
	given, ok, err := givenPassphrase(s.String("mnemonic-passphrase-file"), "")
	if ok || err != nil {
		return given, err
	}
	if !onTerminal() {
		return "", noPassphrase("--mnemonic-passphrase-file")
	}
	return s.askTwice("Passphrase of the words (BIP39), without which they lead to another wallet: ")
}

// replacementPassphrase is the new one of an existing wallet.
func (s *walletSession) replacementPassphrase() (string, error) {
	given, ok, err := givenPassphrase(s.String("new-passphrase-file"), "")
	if ok || err != nil {
		return given, err
	}
	if !onTerminal() {
		return "", noPassphrase("--new-passphrase-file")
	}
	return s.askTwice("New passphrase: ")
}

func (s *walletSession) askTwice(question string) (string, error) {
	answer, err := askSecret(s.Context.Context, question)
	if err != nil {
		return "", err
	}
	if answer == "" {
		return "", wallet.ErrEmpty
	}
	again, err := askSecret(s.Context.Context, "Once more: ")
	if err == nil && again != answer {
		err = errors.New("the two passphrases differ: nothing was changed")
	}
	return answer, err
}

// givenPassphrase is one that need not be asked for: the first line of a file,
// or the environment's. ok is false if there is neither.
func givenPassphrase(file, env string) (passphrase string, ok bool, err error) {
	if file != "" {
		b, err := readSmall(file, maxPassphraseFile)
		if err != nil {
			return "", false, fmt.Errorf("reading the passphrase: %w", err)
		}
		first, rest, _ := strings.Cut(string(b), "\n")
		if strings.TrimSpace(rest) != "" {
			return "", false, fmt.Errorf("%s has more than one line: it is not a passphrase", file)
		}
		if first = strings.TrimSuffix(first, "\r"); first == "" {
			return "", false, fmt.Errorf("%s: %w", file, wallet.ErrEmpty)
		}
		return first, true, nil
	}
	return env, env != "", nil
}

func noPassphrase(how string) error {
	return fmt.Errorf("no passphrase is given, and %w: use %s", errNoTerminal, how)
}

// mnemonic reads the words of a wallet to restore.
func (s *walletSession) mnemonic() (string, error) {
	switch file := s.String("mnemonic-file"); {
	case file == "-":
		b, err := io.ReadAll(io.LimitReader(os.Stdin, maxMnemonicFile))
		return string(b), err
	case file != "":
		b, err := readSmall(file, maxMnemonicFile)
		if err != nil {
			return "", fmt.Errorf("reading the words: %w", err)
		}
		return string(b), nil
	case !onTerminal():
		return "", fmt.Errorf("no words are given, and %w: use --mnemonic-file", errNoTerminal)
	}
	return askSecret(s.Context.Context, "The words of the wallet, with spaces between them: ")
}
