package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"lode/internal/atomicfile"
	"lode/wallet"
	"lode/wallet/psbt"
)

// psbtFile is a PSBT that a command was given, and where it came from.
type psbtFile struct {
	path   string // "-" is standard input
	packet *psbt.Packet
	binary bool
}

// readPSBT reads the PSBT that is the only argument: a file in either form, or -.
func (s *walletSession) readPSBT() (*psbtFile, error) {
	if s.Args().Len() != 1 {
		return nil, usageError(s.Command.HelpName, "want one FILE with a PSBT, or -")
	}
	f := &psbtFile{path: s.Args().First()}
	var b []byte
	var err error
	if f.path == "-" {
		b, err = io.ReadAll(io.LimitReader(os.Stdin, psbt.MaxSize+1))
	} else {
		b, err = readSmall(f.path, psbt.MaxSize)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the PSBT: %w", err)
	}
	if f.packet, err = psbt.Read(b); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if err := wallet.CheckPSBTNetwork(s.net.spec, f.packet); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	f.binary = strings.HasPrefix(string(b), "psbt\xff")
	return f, nil
}

// write puts the PSBT where it is wanted, in the form in which it came.
func (f *psbtFile) write(s *walletSession, to string) error {
	if to == "" {
		to = f.path
	}
	b := []byte(f.packet.String() + "\n")
	if f.binary {
		b = f.packet.Bytes()
	}
	if to == "-" {
		if s.Bool("json") {
			return nil // it is part of the result
		}
		_, err := s.App.Writer.Write(b)
		return err
	}
	if err := atomicfile.Write(to, b); err != nil {
		return fmt.Errorf("writing the PSBT: %w", err)
	}
	return nil
}

// wantYes asks a question; any answer but yes is an error.
func (s *walletSession) wantYes(question, done string) error {
	answer, err := ask(s.Context.Context, question)
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return fmt.Errorf("nothing was %s: the answer was not yes", done)
	}
	return nil
}
