package dispatcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
)

// slotsEvery is how often somebody looks how many messages are held, while some
// are.
const slotsEvery = 2 * time.Second

// watchSlots looks how many messages find no way out, until ctx ends: one that
// is given back to wait keeps its place among those that a consumer may have
// under way, and once they are all held, no other is delivered.
func (d *Dispatcher) watchSlots(ctx context.Context) {
	ticker := time.NewTicker(slotsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		held := d.heldSlots(ctx)
		if held == "" && d.gates.slots.Open() {
			d.log.Info("there is room again in the consumers")
		}
		if held != "" && d.gates.slots.Shut(held) {
			d.log.Error("events that can be neither parked nor dead-lettered are in the way of others", zap.String("reason", held))
		}
	}
}

// heldSlots says which consumers have half of what they may have under way, or
// more, although it is not in hand here: "" is none. What other workers have in
// hand is taken for held, too, while parking fails.
func (d *Dispatcher) heldSlots(ctx context.Context) string {
	if d.parking.Gate.IsOpen() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var reasons []string
	for _, stream := range []string{d.cfg.Streams.Stream, d.cfg.Streams.ParkedStream} {
		consumer, err := d.deps.JetStream.Consumer(ctx, stream, d.cfg.Streams.Consumer)
		if err != nil {
			continue // another condition says so
		}
		info := consumer.CachedInfo()
		most := info.Config.MaxAckPending
		if held := info.NumAckPending - d.leases.Count(); most > 0 && 2*held >= most {
			reasons = append(reasons, fmt.Sprintf("%d of the %d messages that the workers may have under way of stream %s (nats.max_ack_pending) "+
				"can be neither parked nor dead-lettered; when all are, no event of any dataset is delivered", held, most, stream))
		}
	}
	return strings.Join(reasons, "; ")
}
