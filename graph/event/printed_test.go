package event_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// mend makes JSON of a sample as Meta's guides print it: without comments, without
// commas before a bracket, without a beginning that is there twice, and with
// something in place of the placeholders.
func mend(printed string) string {
	text := regexp.MustCompile(`//.*`).ReplaceAllString(printed, "")
	text = regexp.MustCompile(`,(\s*[}\]])`).ReplaceAllString(text, "$1")
	text = regexp.MustCompile(`(\s*"data": \[\s*\{){2}`).ReplaceAllString(text, "$1")
	return strings.NewReplacer(
		"<PAGE_ID>", "104857600001234567", "<PSID>", "9007199254740993", "<WHATSAPP_BUSINESS_ACCOUNT_ID>", "102290129340398765",
		"<IG_ACCOUNT_ID>", "17841400000000001", "<instagram_business_account_id>", "17841400000000001", "<IGSID>", "18446744073709551617",
		"<PARTNER_NAME>", "acme",
	).Replace(text)
}

// The samples are what the guides print, once that is JSON, and pass as they are,
// but for the account's id that the live API wants under another name.
func TestSamplesAsTheyArePrinted(t *testing.T) {
	t.Parallel()
	samples := graphtest.Samples(time.Unix(at, 0))
	require.Len(t, samples, 9)
	for _, sample := range samples {
		printed, err := os.ReadFile(filepath.Join("..", "graphtest", "testdata", "printed", sample.Name+".txt"))
		require.NoError(t, err)
		d := event.NewDecoder(event.DefaultRules())
		_, err = d.Decode(printed)
		require.ErrorIs(t, err, event.ErrMalformed, sample.Name)

		mended := mend(string(printed))
		require.JSONEq(t, string(sample.Body), mended, sample.Name)
		got, err := d.Decode([]byte(mended))
		require.NoError(t, err, sample.Name)
		e := got.Events[0]
		require.Empty(t, e.Faults, sample.Name)
		require.Empty(t, e.Warnings, sample.Name)
		require.Empty(t, append(e.Removed, e.Repaired...), sample.Name)
		require.Contains(t, strings.Replace(mended, "instagram_business_account_id", "ig_account_id", 1), string(e.Raw), sample.Name)
	}
}
