package directory_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	page  = graph.Asset{Kind: graph.Page, ID: "11"}
	other = graph.Asset{Kind: graph.Page, ID: "12"}
)

// meta is Meta, and the tokens for it.
type meta struct {
	mu    sync.Mutex
	asked map[graph.Asset]int
	token string

	answer func(ctx context.Context, asset graph.Asset) (string, error)
}

func (m *meta) Dataset(ctx context.Context, asset graph.Asset) (string, error) {
	m.mu.Lock()
	m.asked[asset]++
	m.mu.Unlock()
	return m.answer(ctx, asset)
}

func (m *meta) Fingerprint(string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token
}

func (m *meta) times(asset graph.Asset) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[asset]
}

func newMeta(dataset string, err error) *meta {
	return &meta{asked: make(map[graph.Asset]int), answer: func(context.Context, graph.Asset) (string, error) { return dataset, err }}
}

// away is a Redis that does not answer.
type away struct{}

func (away) Get(ctx context.Context, _ string) *redis.StringCmd {
	cmd := redis.NewStringCmd(ctx)
	cmd.SetErr(errors.New("away"))
	return cmd
}

func (away) Set(ctx context.Context, _ string, _ any, _ time.Duration) *redis.StatusCmd {
	return redis.NewStatusCmd(ctx)
}

func open(t *testing.T, m *meta, client directory.Redis) *directory.Directory {
	t.Helper()
	d := directory.New(m, m, client)
	t.Cleanup(d.Close)
	return d
}

func TestWorkersShareWhatTheyFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		dataset string
		err     error
		kept    time.Duration
	}{
		"a dataset": {"77", nil, 24 * time.Hour},
		"none":      {"", graph.ErrNoDataset, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := miniredis.RunT(t)
			client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
			t.Cleanup(func() { _ = client.Close() })
			m := newMeta(tc.dataset, tc.err)
			for range 2 { // workers
				d := open(t, m, client)
				_, known := d.Recall(page)
				require.False(t, known)
				for range 3 {
					f := d.Find(t.Context(), page)
					require.NoError(t, f.Err)
					require.Equal(t, tc.dataset, f.Dataset)
				}
				f, known := d.Recall(page)
				require.True(t, known)
				require.Equal(t, tc.dataset, f.Dataset)
			}
			require.Equal(t, 1, m.times(page))
			server.FastForward(tc.kept - time.Second)
			require.NoError(t, open(t, m, client).Find(t.Context(), page).Err)
			require.Equal(t, 1, m.times(page))
			server.FastForward(2 * time.Second)
			require.NoError(t, open(t, m, client).Find(t.Context(), page).Err)
			require.Equal(t, 2, m.times(page), "it is asked for again in the end")
		})
	}
}

func TestNonsenseInRedisIsNoAnswer(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	require.NoError(t, server.Set("capi-dispatcher:dataset-of:page:11", "../me"))
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	f := open(t, newMeta("77", nil), client).Find(t.Context(), page)
	require.Equal(t, "77", f.Dataset)
}

func TestAFailureIsNotTriedOverAndOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeta("", errors.New("away"))
		d := open(t, m, away{})
		for begun := time.Now(); time.Since(begun) < time.Hour; time.Sleep(time.Second) {
			f := d.Find(t.Context(), page)
			require.ErrorContains(t, f.Err, "away")
			require.True(t, f.Until.After(time.Now()))
		}
		require.Less(t, m.times(page), 40)
		require.Greater(t, m.times(page), 10)

		m.mu.Lock()
		m.token = "another"
		m.answer = func(context.Context, graph.Asset) (string, error) { return "77", nil }
		m.mu.Unlock()
		require.Equal(t, "77", d.Find(t.Context(), page).Dataset, "a new token is tried at once")
	})
}

func TestMetaIsObeyed(t *testing.T) {
	t.Parallel()
	answer := graph.Judge(http.StatusTooManyRequests, http.Header{"Retry-After": {"3600"}}, nil, 0)
	d := open(t, newMeta("", &graph.DatasetError{Asset: page, Answer: answer}), away{})
	require.WithinDuration(t, time.Now().Add(time.Hour), d.Find(t.Context(), page).Until, 10*time.Second)
}

func TestASlowAccountHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeta("", nil)
		m.answer = func(_ context.Context, asset graph.Asset) (string, error) {
			if asset == page {
				time.Sleep(10 * time.Second)
			}
			return "77", nil
		}
		d := open(t, m, away{})
		begun := time.Now()
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				require.ErrorIs(t, d.Find(ctx, page).Err, directory.ErrPending)
			})
		}
		require.Equal(t, "77", d.Find(t.Context(), other).Dataset)
		require.Zero(t, time.Since(begun))
		waiting.Wait()
		require.ErrorIs(t, d.Find(t.Context(), page).Err, directory.ErrPending)
		require.Equal(t, 2*time.Second, time.Since(begun), "the next need not wait")
		time.Sleep(9 * time.Second)
		f, known := d.Recall(page)
		require.True(t, known, "it was found although nobody waited any more")
		require.Equal(t, "77", f.Dataset)
		require.Equal(t, 1, m.times(page), "one question at a time")
	})
}

func TestCloseEndsTheQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeta("", nil)
		m.answer = func(ctx context.Context, _ graph.Asset) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		d := open(t, m, away{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, d.Find(ctx, page).Err, directory.ErrPending)
		begun := time.Now()
		d.Close()
		require.Zero(t, time.Since(begun))
	})
}
