package claims

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
)

// later is what was sent and could not be confirmed. While there is any, the store
// does not answer and nothing is taken in, so that it cannot become more than what
// was in flight.
type later struct {
	added chan struct{}

	mu     sync.Mutex
	claims []dedupe.Claim
}

func newLater() later { return later{added: make(chan struct{}, 1)} }

func (l *later) add(claims []dedupe.Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims = append(l.claims, claims...)
	select {
	case l.added <- struct{}{}:
	default:
	}
}

func (l *later) takeAll() []dedupe.Claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	claims := l.claims
	l.claims = nil
	return claims
}

// Pending returns how many events were sent and are not confirmed yet.
func (b *Book) Pending() int {
	b.later.mu.Lock()
	defer b.later.mu.Unlock()
	return len(b.later.claims)
}

// ConfirmLater catches up when the store answers again, until ctx ends.
func (b *Book) ConfirmLater(ctx context.Context) {
	for {
		select {
		case <-b.later.added:
		case <-ctx.Done():
			return
		}
		if b.Await(ctx) != nil {
			return
		}
		b.Flush(ctx)
	}
}

// Flush confirms what could not be confirmed before, if the store answers.
func (b *Book) Flush(ctx context.Context) {
	claims := b.later.takeAll()
	if len(claims) == 0 {
		return
	}
	left, err := b.tryConfirm(ctx, claims)
	if err != nil {
		b.later.add(left)
		b.log.Error("events were sent and could not be remembered as sent; a second copy of one would be sent again",
			zap.Int("events", len(left)), zap.Error(err))
	}
}
