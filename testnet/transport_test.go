package testnet_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"lode/consensus"
)

// Two nodes meet by every transport.
func TestTransports(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	t.Setenv("SSL_CERT_FILE", cert) // where Go looks for authorities
	tcp := freePort(t)
	a := startNode(t, filepath.Join(dir, "a"), "--tls-cert", cert, "--tls-key", key, "--listen-tcp", tcp)
	a.rpc("generatetoaddress", "5", consensus.Address("bcrt", [32]byte{1}))
	for name, url := range map[string]string{"wss": "wss://" + a.peers, "tcp": "tcp://" + tcp, "tcp, as users of Bitcoin Core say it": tcp} {
		t.Run(name, func(t *testing.T) {
			b := startNode(t, filepath.Join(t.TempDir(), "b"), "--connect", url)
			waitFor(t, "the blocks", func() bool { return b.rpc("getblockcount") == "5" })
		})
	}
}

// writeCertificate writes the certificate for 127.0.0.1 of the standard library's
// tests, and its key.
func writeCertificate(t *testing.T, cert, key string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
