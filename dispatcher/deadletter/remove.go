package deadletter

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Remove deletes the letter of that number for good: the server overwrites
// where it stood on disk. It returns [ErrNotFound] if there is none any more.
func (b *Box) Remove(ctx context.Context, sequence uint64) error {
	if err := b.checkSame(ctx); err != nil {
		return fmt.Errorf("removing dead letter %d: %w", sequence, err)
	}
	err := b.stream.SecureDeleteMsg(ctx, sequence)
	if err == nil {
		return nil
	}
	if _, gone := b.stream.GetMsg(ctx, sequence); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: number %d", ErrNotFound, sequence)
	}
	return fmt.Errorf("removing dead letter %d: %w", sequence, err)
}
