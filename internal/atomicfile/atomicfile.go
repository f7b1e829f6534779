// Package atomicfile replaces files at one stroke: whoever is killed, or loses power,
// leaves the whole of the old content or of the new.
//
// google/renameio and natefinch/atomic do less: neither syncs the directory, without
// which a power cut may take the new name back that was there, and the first is not
// made for Windows.
package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"lode/internal/syncdir"
)

// Write replaces the content of a file, or makes it, readable by its owner alone.
// Several processes may do so at the same time: one of their contents stays.
func Write(path string, content []byte) error {
	temp, err := WriteTemp(filepath.Dir(path), "."+filepath.Base(path)+".*", content)
	if err != nil {
		return err
	}
	return Rename(temp, path)
}

// WriteTemp writes what is to become a file, under a name made of a pattern as
// os.CreateTemp makes it, and syncs it. Nothing is left after an error.
func WriteTemp(dir, pattern string, content []byte) (temp string, err error) {
	f, err := os.CreateTemp(dir, pattern) // mode 0600
	if err != nil {
		return "", err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// Replace gives a file, readable by its owner alone, the content that write writes.
// What is not finished is called path + ".new", so that no number of kills leaves more
// than one such file. The caller sees to it that nobody else replaces the same file.
func Replace(path string, write func(io.Writer) error) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return Rename(temp, path)
}

// Rename gives a file the name of another, whose place it takes, and has that survive a
// power cut. If it cannot, it removes the file.
func Rename(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncdir.Sync(filepath.Dir(path))
}
