package rpc

import "strings"

// walletMethods are Bitcoin Core's calls to a wallet. Under /wallet/NAME they are
// answered as by a node that has no wallet of that name.
var walletMethods = func() map[string]bool {
	names := make(map[string]bool)
	for name := range strings.FieldsSeq(`abandontransaction abortrescan addmultisigaddress backupwallet bumpfee createwalletdescriptor
		encryptwallet fundrawtransaction getaddressesbylabel getaddressinfo getbalance getbalances gethdkeys getnewaddress
		getrawchangeaddress getreceivedbyaddress getreceivedbylabel gettransaction getwalletinfo importdescriptors importprunedfunds
		keypoolrefill listaddressgroupings listdescriptors listlabels listlockunspent listreceivedbyaddress listreceivedbylabel
		listsinceblock listtransactions listunspent lockunspent migratewallet psbtbumpfee removeprunedfunds rescanblockchain send
		sendall sendmany sendtoaddress setlabel setwalletflag signmessage signrawtransactionwithwallet simulaterawtransaction
		unloadwallet upgradewallet walletcreatefundedpsbt walletdisplayaddress walletlock walletpassphrase walletpassphrasechange
		walletprocesspsbt`) {
		names[name] = true
	}
	return names
}()
