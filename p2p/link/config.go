package link

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config is what a link is like, in the direction in which this side sends.
type Config struct {
	Latency time.Duration // of everything
	Jitter  time.Duration // at most this much is added, evenly spread
	Loss    float64       // how many of all segments are lost, 0 to 1
	Rate    int64         // bits a second; 0 for no limit
}

// Bounds of a Config.
const (
	maxDelay = time.Minute
	maxLoss  = 0.5
	minRate  = 8_000 // bits a second, so that a handshake is over in time
	maxRate  = 1_000_000_000_000
)

// ErrConfig is the kind of error for a link that cannot be.
var ErrConfig = errors.New("no such link")

// IsZero reports whether the link changes nothing.
func (c Config) IsZero() bool { return c == Config{} }

// Parse reads settings such as "latency=50ms,jitter=10ms,loss=1%,rate=20mbit"; each
// may be left out. A rate without a unit is in Mbit/s, a delay without one in ms.
func Parse(text string) (c Config, err error) {
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "latency":
			c.Latency, err = parseDelay(value)
		case "jitter":
			c.Jitter, err = parseDelay(value)
		case "loss":
			c.Loss, err = parseLoss(value)
		case "rate":
			c.Rate, err = parseRate(value)
		default:
			err = fmt.Errorf("%w: %q: want latency=TIME, jitter=TIME, loss=PERCENT, rate=MBIT, with commas between", ErrConfig, part)
		}
		if err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// String is what Parse reads.
func (c Config) String() string {
	var parts []string
	if c.Latency > 0 {
		parts = append(parts, "latency="+c.Latency.String())
	}
	if c.Jitter > 0 {
		parts = append(parts, "jitter="+c.Jitter.String())
	}
	if c.Loss > 0 {
		parts = append(parts, "loss="+strconv.FormatFloat(c.Loss*100, 'g', -1, 64)+"%")
	}
	if c.Rate > 0 {
		parts = append(parts, "rate="+strconv.FormatFloat(float64(c.Rate)/1e6, 'g', -1, 64)+"mbit")
	}
	return strings.Join(parts, ",")
}

func parseDelay(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "ms")
	}
	if err != nil || d < 0 || d > maxDelay {
		return 0, fmt.Errorf("%w: a delay of %q: want a time from 0 to %v, such as 50ms", ErrConfig, text, maxDelay)
	}
	return d, nil
}

func parseLoss(text string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(f >= 0 && f <= maxLoss*100) {
		return 0, fmt.Errorf("%w: a loss of %q: want a percentage from 0 to %v", ErrConfig, text, maxLoss*100)
	}
	return f / 100, nil
}

func parseRate(text string) (int64, error) {
	f, err := strconv.ParseFloat(strings.TrimSuffix(text, "mbit"), 64)
	f *= 1e6
	if err != nil || !(f == 0 || f >= minRate && f <= maxRate) {
		return 0, fmt.Errorf("%w: a rate of %q: want Mbit/s, %v or more, or 0 for no limit", ErrConfig, text, minRate/1e6)
	}
	return int64(f), nil
}
