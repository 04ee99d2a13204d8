package pacing_test

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/pacing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The nearer the limit, the more space; from Full on it is the widest.
func TestSpaces(t *testing.T) {
	t.Parallel()
	for percent, space := range map[float64]time.Duration{
		0: 0, 74.9: 0, 75: 0, 80: pacing.Widest / 4, 85: pacing.Widest / 2, 90: 3 * pacing.Widest / 4,
		95: pacing.Widest, 100: pacing.Widest, 1000: pacing.Widest,
	} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := pacing.New()
				p.Note(pacing.Dataset("1"), percent)
				for row := range 5 {
					require.Equal(t, time.Duration(row)*space, p.Reserve("1", "app"))
				}
			})
		})
	}
}

// A row is as long as the places that are still to come.
func TestPlacesAreTakenInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacing.New()
		p.Note(pacing.Dataset("1"), pacing.Full)
		require.Zero(t, p.Reserve("1", "app"))
		time.Sleep(pacing.Widest / 2)
		require.Equal(t, pacing.Widest/2, p.Reserve("1", "app"))
		time.Sleep(pacing.Widest / 2)
		require.Equal(t, pacing.Widest, p.Reserve("1", "app"))
		time.Sleep(time.Hour)
		require.Zero(t, p.Reserve("1", "app"), "nobody has been sending")
		require.Equal(t, pacing.Widest, p.Reserve("1", "app"))
	})
}

// A dataset's limit slows nobody else; an app's slows all that use it, each in its
// own row. The nearer of the two counts.
func TestWhoIsSlowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacing.New()
		second := func(dataset, app string) time.Duration {
			p.Reserve(dataset, app)
			wait := p.Reserve(dataset, app)
			time.Sleep(time.Minute)
			return wait
		}
		p.Note(pacing.Dataset("1"), 80)
		require.Equal(t, pacing.Widest/4, second("1", "a"))
		require.Zero(t, second("2", "a"))
		require.Zero(t, second("2", "1"), "an app is no dataset")
		p.Note(pacing.App("a"), 85)
		require.Equal(t, pacing.Widest/2, second("1", "a"))
		require.Equal(t, pacing.Widest/2, second("2", "a"))
		require.Equal(t, pacing.Widest/4, second("1", "b"))
		require.Zero(t, second("a", "b"), "nor a dataset an app")
		p.Note(pacing.Dataset("1"), 90)
		require.Equal(t, 3*pacing.Widest/4, second("1", "a"))
	})
}

// It is news that a limit has come near, and that it is not near any more.
func TestNews(t *testing.T) {
	t.Parallel()
	p := pacing.New()
	for _, limit := range []pacing.Limit{pacing.Dataset("1"), pacing.App("1")} {
		for _, step := range []struct {
			percent float64
			news    bool
		}{{0, false}, {74, false}, {75, true}, {80, false}, {99, false}, {75, false}, {74, true}, {0, false}, {95, true}} {
			require.Equal(t, step.news, p.Note(limit, step.percent), step)
		}
	}
}

// When the limit is not near any more, the row is gone.
func TestARowEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacing.New()
		p.Note(pacing.Dataset("1"), pacing.Full)
		for range 100 {
			p.Reserve("1", "app")
		}
		p.Note(pacing.Dataset("1"), 0)
		require.Zero(t, p.Reserve("1", "app"))
		p.Note(pacing.Dataset("1"), pacing.Full)
		require.Zero(t, p.Reserve("1", "app"), "a new one")
	})
}

// Anybody can name datasets: what is remembered is bounded, and who is remembered
// can be told of.
func TestLimitsAreBounded(t *testing.T) {
	t.Parallel()
	p := pacing.New()
	const many = 10_000
	for i := range 2 * many {
		require.Equal(t, i < many, p.Note(pacing.Dataset(strconv.Itoa(i)), 80))
	}
	require.False(t, p.Note(pacing.Dataset("0"), 90), "it is near already")
	require.True(t, p.Note(pacing.Dataset("0"), 0))
	require.True(t, p.Note(pacing.Dataset("another"), 80), "there is room again")
}

// Nor do rows of datasets that have sent for an app once stay for ever; those that
// somebody is waiting in do.
func TestRowsOfManyDatasets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacing.New()
		p.Note(pacing.App("app"), pacing.Full)
		for range 100 {
			p.Reserve("waits", "app")
		}
		time.Sleep(pacing.Widest)
		for i := range 20_000 {
			require.Zero(t, p.Reserve(strconv.Itoa(i), "app"))
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, p.Rows(), 10_001)
		require.Equal(t, 99*pacing.Widest-20*time.Second, p.Reserve("waits", "app"))
	})
}

func TestWhatIsLimited(t *testing.T) {
	t.Parallel()
	require.Equal(t, "dataset", pacing.Dataset("1").String())
	require.Equal(t, "app", pacing.App("1").String())
}
