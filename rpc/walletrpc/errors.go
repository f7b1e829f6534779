package walletrpc

import (
	"context"
	"errors"

	"lode/rpc"
	"lode/wallet"
)

// Bitcoin Core's codes of errors (rpc/protocol.h).
const (
	codeMisc           = -1
	codeType           = -3
	codeWallet         = -4
	codeAddress        = -5
	codeFunds          = -6
	codeParameter      = -8
	codeLabel          = -11
	codeKeypool        = -12
	codeUnlock         = -13
	codePassphrase     = -14
	codeEncState       = -15
	codeEncryption     = -16
	codeNoWallet       = -18
	codeNotSpecified   = -19
	codeDecode         = -22
	codeVerify         = -25
	codeWarmup         = -28
	codeDeprecated     = -32
	codeAlreadyLoaded  = -35
	codeAlreadyExists  = -36
	codeInvalidRequest = -32600
)

func fail(code int, format string, args ...any) error { return rpc.Failure(code, format, args...) }

var (
	errNotLoaded = fail(codeNoWallet, "Requested wallet does not exist or is not loaded")
	errMaxFee    = fail(codeWallet, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)")
	errLocked    = fail(codeUnlock, "Error: Please enter the wallet passphrase with walletpassphrase first.")
)

// walletError gives an error of a wallet a code.
func walletError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*rpc.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, wallet.ErrPassphrase):
		return fail(codePassphrase, "Error: The wallet passphrase entered was incorrect.")
	case errors.Is(err, wallet.ErrFunds):
		return fail(codeFunds, "Insufficient funds: %v", err)
	case errors.Is(err, wallet.ErrLabel):
		return fail(codeLabel, "Invalid label name: %v", err)
	case errors.Is(err, wallet.ErrNoWallet):
		return fail(codeNoWallet, "%v", err)
	}
	return fail(codeWallet, "%v", err)
}
