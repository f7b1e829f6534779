package main

import (
	"fmt"
	"log/slog"
	"testing"
)

func TestReporter(t *testing.T) {
	var r reporter
	for i, test := range []struct {
		status status
		level  slog.Level
		want   string
	}{
		{status{height: 7, headers: 7, dialed: 2, inbound: 1, transactions: 3}, slog.LevelInfo, "status [height 7 peers 3 inbound 1 mempool 3]"},
		{status{height: 7, headers: 900, dialed: 1}, slog.LevelInfo, "status [height 7 headers 900 peers 1 inbound 0 mempool 0]"},
		{status{height: 7, headers: 7}, slog.LevelInfo, "status [height 7 peers 0 inbound 0 mempool 0]"},
		{status{height: 7, headers: 7, mining: true, hashRate: 12_345_678}, slog.LevelWarn, "mining alone: no peer is connected [height 7 peers 0 inbound 0 mempool 0 hash_rate 12.35 MH/s]"},
		{status{height: 7, headers: 7, mining: true, hashRate: 999}, slog.LevelInfo, "status [height 7 peers 0 inbound 0 mempool 0 hash_rate 999 H/s]"}, // once is enough
		{status{height: 7, headers: 7, mining: true, inbound: 1, hashRate: 2e12}, slog.LevelInfo, "status [height 7 peers 1 inbound 1 mempool 0 hash_rate 2 TH/s]"},
		{status{height: 7, headers: 7, mining: true}, slog.LevelWarn, "mining alone: no peer is connected [height 7 peers 0 inbound 0 mempool 0 hash_rate 0 H/s]"},
	} {
		level, text, attrs := r.step(&test.status)
		if got := fmt.Sprint(text, " ", attrs); level != test.level || got != test.want {
			t.Errorf("%d: %v %s, want %v %s", i, level, got, test.level, test.want)
		}
	}
}
