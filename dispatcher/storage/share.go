package storage

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
)

// mostSubjects is how many subjects are counted: more come in several answers,
// and subjects that are made up shall not keep us busy.
const mostSubjects = 10_000

// share is a part of a stream's messages.
type share struct {
	dataset string  // a dataset id, [admission.Auto], or other; "" is not known
	part    float64 // of 1
}

// other stands for a dataset in a share where the subject names no destination.
const other = "other"

// largestShare returns which dataset has the most messages in a stream. The
// server counts messages for each subject, and no bytes.
func largestShare(ctx context.Context, stream jetstream.Stream, root string) share {
	if stream.CachedInfo().State.NumSubjects > mostSubjects {
		return share{}
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(root+".>"))
	if err != nil || info.State.Msgs == 0 {
		return share{}
	}
	counts := make(map[string]uint64)
	var most share
	for subject, messages := range info.State.Subjects {
		dataset := datasetOf(subject, root)
		counts[dataset] += messages
		if part := float64(counts[dataset]) / float64(info.State.Msgs); part > most.part {
			most = share{dataset: dataset, part: part}
		}
	}
	return most
}

// datasetOf returns the dataset that a subject names. Subjects are made by
// producers, so that what is no id does not get into metrics.
func datasetOf(subject, root string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(subject, root+"."), ".")
	if admission.IsDestination(word) {
		return word
	}
	return other
}
