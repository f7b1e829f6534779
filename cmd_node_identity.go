package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/rpc"
)

// identityFlags are the flags of a node about how it names itself.
func identityFlags() []cli.Flag {
	return []cli.Flag{&cli.GenericFlag{Name: "uacomment", EnvVars: []string{"LODE_UACOMMENT"}, Value: new(lines),
		Usage: "say `TEXT` to peers beside the name and version of this program (BIP14); may be repeated"}}
}

// A user agent (BIP14) names Bitcoin Core, whose protocol and interface Lode speaks,
// as tools infer from it what a node can do.
const (
	maxUserAgent = 256 // bytes, as in Bitcoin Core
	// agentChars are what Bitcoin Core allows in comments beside letters and digits.
	agentChars = " .,;-_?@"
)

func (n *nodeConfig) readIdentityFlags(c *cli.Context) error {
	comments, _ := c.Generic("uacomment").(*lines)
	if comments == nil {
		comments = new(lines)
	}
	for _, comment := range *comments {
		if strings.ContainsFunc(comment, func(r rune) bool {
			letter := r|0x20 >= 'a' && r|0x20 <= 'z'
			return !letter && (r < '0' || r > '9') && !strings.ContainsRune(agentChars, r)
		}) {
			return usageError(c.Command.HelpName, "--uacomment: User Agent comment (%.40s) contains unsafe characters.", comment)
		}
	}
	const v = rpc.CoreVersion
	n.userAgent = fmt.Sprintf("/Satoshi:%d.%d.%d/Lode:%s", v/10_000, v/100%100, v%100, version)
	if len(*comments) > 0 {
		n.userAgent += "(" + strings.Join(*comments, "; ") + ")"
	}
	n.userAgent += "/"
	if len(n.userAgent) > maxUserAgent {
		return usageError(c.Command.HelpName, "Total length of network version string (%d) exceeds maximum length (%d). Reduce the number or size of uacomments.", len(n.userAgent), maxUserAgent)
	}
	return nil
}
