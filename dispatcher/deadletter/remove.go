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
	if err := b.delete(ctx, sequence, b.stream.SecureDeleteMsg); err != nil {
		return fmt.Errorf("removing dead letter %d: %w", sequence, err)
	}
	return nil
}

// delete deletes a letter in one of the server's ways. It returns [ErrNotFound]
// if there is none any more, which the server's own answer does not distinguish
// from other errors.
func (b *Box) delete(ctx context.Context, sequence uint64, how func(context.Context, uint64) error) error {
	err := how(ctx, sequence)
	if err == nil {
		return nil
	}
	if _, gone := b.stream.GetMsg(ctx, sequence); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: number %d", ErrNotFound, sequence)
	}
	return err
}
