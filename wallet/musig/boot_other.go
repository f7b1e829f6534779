//go:build unix && !linux && !darwin

package musig

// boot is not known here: the anchor's file alone must do.
func boot() string { return "" }
