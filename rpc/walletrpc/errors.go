package walletrpc

import (
	"context"
	"errors"

	"lode/rpc"
	"lode/rpc/code"
	"lode/wallet"
)

// Short names of the codes that are used here.
const (
	codeMisc           = code.Misc
	codeType           = code.Type
	codeWallet         = code.Wallet
	codeAddress        = code.Address
	codeFunds          = code.Funds
	codeParameter      = code.Parameter
	codeLabel          = code.Label
	codeKeypool        = code.Keypool
	codeUnlock         = code.Unlock
	codePassphrase     = code.Passphrase
	codeEncState       = code.EncState
	codeEncryption     = code.Encryption
	codeNoWallet       = code.NoWallet
	codeNotSpecified   = code.NotSpecified
	codeDecode         = code.Decode
	codeVerify         = code.Verify
	codeWarmUp         = code.WarmUp
	codeDeprecated     = code.Deprecated
	codeAlreadyLoaded  = code.AlreadyLoaded
	codeAlreadyExists  = code.AlreadyExists
	codeInvalidRequest = code.InvalidRequest
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
