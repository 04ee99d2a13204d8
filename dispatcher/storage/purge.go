package storage

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// purgeAcknowledged takes out of a stream what every consumer has acknowledged,
// and returns what keeps the rest. ours has to be among the consumers: in a
// stream without a consumer nothing has been acknowledged.
//
// A consumer's floor is the last message up to which it has acknowledged all;
// what it has been given and has yet to acknowledge, again or for the first
// time, is above that. A consumer that only wants some of the messages may have
// a floor below others: it keeps them, because its server may not know yet of
// the latest that is for it.
func purgeAcknowledged(ctx context.Context, stream jetstream.Stream, ours string) (kept string, err error) {
	lowest, silent, err := lowestFloor(ctx, stream, ours)
	if err != nil {
		return "", err
	}
	if silent != "" {
		return "kept because nobody can tell what consumer " + silent + " has acknowledged", nil
	}
	kept = fmt.Sprintf("kept by consumer %s, which has acknowledged all up to message %d", lowest.Name,
		lowest.AckFloor.Stream)
	if lowest.AckFloor.Stream < stream.CachedInfo().State.FirstSeq {
		return kept, nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(lowest.AckFloor.Stream+1)); err != nil {
		return "", fmt.Errorf("purging stream %s: %w", stream.CachedInfo().Config.Name, err)
	}
	return kept, nil
}

// lowestFloor returns the consumer that has acknowledged the least, and one of
// which nothing is known, if there is such. The server leaves those out of its
// list whose leader does not answer, so that it has to be compared with their
// names.
func lowestFloor(
	ctx context.Context, stream jetstream.Stream, ours string,
) (lowest *jetstream.ConsumerInfo, silent string, err error) {
	missing := map[string]bool{ours: true}
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		missing[name] = true
	}
	if err := names.Err(); err != nil {
		return nil, "", fmt.Errorf("the names of the consumers: %w", err)
	}
	consumers := stream.ListConsumers(ctx)
	for consumer := range consumers.Info() {
		delete(missing, consumer.Name)
		if lowest == nil || consumer.AckFloor.Stream < lowest.AckFloor.Stream {
			lowest = consumer
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, "", fmt.Errorf("the list of consumers: %w", err)
	}
	for name := range missing {
		silent = name
	}
	return lowest, silent, nil
}
