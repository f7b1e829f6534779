package p2p

import (
	"errors"
	"os"
	"path/filepath"
)

// The files of Config.Dir.
const (
	bookName    = "peers.json"
	anchorsName = "anchors.json"
	bansName    = "banlist.json"
)

// inDir is the path of a file of the node; empty if it keeps none.
func (c *Config) inDir(name string) string {
	if c.Dir == "" {
		return ""
	}
	return filepath.Join(c.Dir, name)
}

// anchorsFile is the JSON document that holds the block-relay-only peers of when
// the node stopped. They are dialled first: who waits for a restart to surround
// the node finds two of its slots taken.
type anchorsFile struct {
	Version int      `json:"version"`
	URLs    []string `json:"urls"`
}

const anchorsVersion = 1

// takeAnchors reads the anchors and removes the file, so that what may have made
// a node fail is not dialled at every start.
func (n *Node) takeAnchors() (urls []string) {
	file := n.cfg.inDir(anchorsName)
	if file == "" {
		return nil
	}
	var saved anchorsFile
	found, err := readJSON(file, &saved)
	if found || err != nil {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		n.log.Warn("the anchors are forgotten", "error", err)
		return nil
	}
	for _, url := range saved.URLs {
		if clean, err := cleanURL(url); err == nil && clean == url && (isGossip(url) || n.book.isSeed(url)) && len(urls) < blockOutbound && saved.Version == anchorsVersion {
			urls = append(urls, url)
		}
	}
	return urls
}

// saveAnchors writes the block-relay-only peers that the node had when it was
// stopped.
func (n *Node) saveAnchors() error {
	n.mu.Lock()
	urls := n.anchors[:min(len(n.anchors), blockOutbound)]
	n.mu.Unlock()
	if file := n.cfg.inDir(anchorsName); file != "" && len(urls) > 0 {
		return writeJSON(file, anchorsFile{anchorsVersion, urls})
	}
	return nil
}
