package customer_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
)

// The first five hashes are Meta's own examples.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		field            customer.Field
		text, normalized string
		hash             string
	}{
		{customer.Email, "John_Smith@gmail.com", "john_smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"},
		{customer.Phone, "1 (650)555-1212", "16505551212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"},
		{customer.FirstName, "Mary", "mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"},
		{customer.FirstName, "정", "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"},
		{customer.FirstName, "Valéry", "valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"},
		{customer.Gender, "F", "f", "252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111"},
		{customer.Gender, "male", "m", "62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a"},
		{customer.Birthday, "1997-02-16", "19970216", "01acdbf6ec7b4f478a225f1a246e5d6767eeab1a7ffa17f025265b5b94f40f0c"},
		{customer.City, "New York", "newyork", "350c754ba4d38897693aa077ef43072a859d23f613443133fecbbd90a3512ca5"},
		{customer.State, "CA", "ca", "6959097001d10501ac7d54c0bdb8db61420f658f2922cc26e46d536119a31126"},
		{customer.PostCode, "94035-1234", "94035", "1794327a4d443904421f5ca1f3d72d0a62ba2f0770d80755ec2220fc0efb052e"},
		{customer.Country, "US", "us", "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"},
		{customer.Country, "JPN", "jp", "9732c83e3e03fffde2ee65a9d826df8c4dd623c27fb92b952fe62a02f0726f87"},
	} {
		t.Run(string(tc.field)+" "+tc.text, func(t *testing.T) {
			t.Parallel()
			normalized, err := customer.Normalize(tc.field, tc.text, "")
			require.NoError(t, err)
			require.Equal(t, tc.normalized, normalized)
			require.Equal(t, tc.hash, customer.Hash(normalized))
			require.True(t, customer.IsHashed(tc.field, tc.hash))
			require.False(t, customer.IsHashed(tc.field, normalized))
		})
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		field         customer.Field
		text, country string
		want          string
	}{
		{customer.Email, "  Foo.Bar+Baz@Example.COM\n", "", "foo.bar+baz@example.com"},
		{customer.Phone, "+44 20 7946 0958", "", "442079460958"},
		{customer.Phone, "+001 (616) 954-78 88", "", "16169547888"},
		{customer.Phone, "01(650)123-4567", "", "16501234567"},
		{customer.Phone, "(650) 253-0000", "us", "16502530000"},
		{customer.Phone, "020 7946 0958", "GB", "442079460958"},
		{customer.Phone, "+49 1512 3456789", "us", "4915123456789"},
		{customer.Phone, "66812345678", "th", "66812345678"},
		{customer.Phone, "081 234 5678", "th", "66812345678"},
		{customer.FirstName, "  O'Neill-Smith ", "", "oneillsmith"},
		{customer.FirstName, "Mary Ann", "", "mary ann"},
		{customer.LastName, "Vale\u0301ry", "", "valéry"},
		{customer.LastName, "สมชาย", "", "สมชาย"},
		{customer.City, "Menlo Park", "", "menlopark"},
		{customer.City, "Washington D.C", "", "washingtondc"},
		{customer.City, "San José", "", "sanjosé"},
		{customer.City, "東京 1", "", "東京"},
		{customer.State, "California", "", "california"},
		{customer.PostCode, "98121-4892", "", "98121"},
		{customer.PostCode, "981214892", "us", "98121"},
		{customer.PostCode, "NR9 5AL", "gb", "nr95al"},
		{customer.PostCode, "01310-100", "br", "01310100"},
		{customer.ExternalID, " User-42 ", "", "User-42"},
		{customer.FirstNameHead, "Alexander", "", "alexa"},
		{customer.LastNameHead, "Li", "", "li"},
		{customer.Initial, "Ödön", "", "ö"},
		{customer.BirthDay, "7", "", "07"},
		{customer.BirthMonth, "12", "", "12"},
		{customer.BirthYear, "1997", "", "1997"},
	} {
		t.Run(string(tc.field)+" "+tc.text, func(t *testing.T) {
			t.Parallel()
			got, err := customer.Normalize(tc.field, tc.text, tc.country)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			if tc.field != customer.FirstNameHead {
				again, err := customer.Normalize(tc.field, got, tc.country)
				require.NoError(t, err)
				require.Equal(t, got, again, "what is normal stays so")
			}
		})
	}
}

func TestWhatCannotBeNormalized(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		field customer.Field
		text  string
		want  string
	}{
		{customer.Email, "john.smith", "is not an email address"},
		{customer.Email, "John <john@example.com>", "is not an email address"},
		{customer.Phone, "98", "is not a phone number"},
		{customer.Phone, "n/a", "is not a phone number"},
		{customer.FirstName, "---", "holds nothing"},
		{customer.Gender, "x", "is neither"},
		{customer.Birthday, "02/03/1997", "may have its day or its month first"},
		{customer.Birthday, "1997-02-30", "is not a date of birth"},
		{customer.Birthday, "1850-01-01", "is not a date of birth"},
		{customer.Birthday, "29970216", "is not a date of birth"},
		{customer.BirthDay, "32", "is not a day"},
		{customer.BirthMonth, "13", "is not a month"},
		{customer.BirthYear, "97", "is not a year"},
		{customer.Country, "Utopia", "is not a country"},
		{customer.Country, "EU", "is not a country"},
		{customer.City, "12345", "holds nothing"},
		{customer.State, "--", "holds nothing"},
	} {
		t.Run(string(tc.field)+" "+tc.text, func(t *testing.T) {
			t.Parallel()
			_, err := customer.Normalize(tc.field, tc.text, "")
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), tc.text)
		})
	}
}

func TestIsHashed(t *testing.T) {
	t.Parallel()
	sha, md5 := strings.Repeat("0aF9", 16), strings.Repeat("0aF9", 8)
	require.True(t, customer.IsHashed(customer.Email, sha))
	require.True(t, customer.IsHashed(customer.Email, md5))
	require.True(t, customer.IsHashed(customer.ExternalID, sha))
	require.False(t, customer.IsHashed(customer.ExternalID, md5), "more likely a UUID without dashes")
	require.False(t, customer.IsHashed(customer.Email, sha[1:]))
	require.False(t, customer.IsHashed(customer.Email, "g"+sha[1:]))
}

// FuzzNormalize: no panic, nothing but valid UTF-8 comes out, and what is
// normalised stays as it is.
func FuzzNormalize(f *testing.F) {
	for _, text := range []string{"John_Smith@gmail.com", "1 (650)555-1212", "Valéry", "1997-02-16", "94035-1234", "us", "İ", "ﬀ", "\u0345", "０１"} {
		for i := range customer.Fields() {
			f.Add(i, text, "us")
		}
	}
	f.Fuzz(func(t *testing.T, index int, text, country string) {
		fields := customer.Fields()
		field := fields[uint(index)%uint(len(fields))]
		got, err := customer.Normalize(field, text, country)
		if err != nil {
			require.Empty(t, got)
			return
		}
		require.NotEmpty(t, got)
		if utf8.ValidString(text) {
			require.True(t, utf8.ValidString(got))
		}
		if field == customer.Phone { // else it could be a national number, too
			again, err := customer.Normalize(field, "+"+got, country)
			require.NoError(t, err)
			require.Equal(t, got, again)
			return
		}
		again, err := customer.Normalize(field, got, country)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

// A country may be named in any language of the library's tables.
func TestCountryNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Deutschland": "de", "germany": "de", "ALLEMAGNE": "de", "Германия": "de", "ドイツ": "de", "เยอรมนี": "de", "ألمانيا": "de",
		"Côte d’Ivoire": "ci", "Cote D'Ivoire": "ci", "CÔTE D'IVOIRE": "ci", "U.S.A.": "us", "uk": "gb", "United Kingdom": "gb", "日本": "jp",
		"Congo": "cg", "NGA": "", "Nga": "", "DEU": "de", "276": "de", "Niger": "ne", "Nigeria": "ng", "конго": "", "Europe": "", "EU": "", "Atlantis": "", "": "",
	} {
		got, err := customer.Normalize(customer.Country, text, "")
		require.Equal(t, want, got, text)
		require.Equal(t, want == "", err != nil, text)
	}
}

// Every country can be named in the languages of most customers.
func TestEveryCountryHasItsName(t *testing.T) {
	t.Parallel()
	for _, tag := range []language.Tag{
		language.English, language.German, language.French, language.Spanish, language.Portuguese, language.Italian, language.Turkish,
		language.Arabic, language.Hindi, language.Thai, language.Japanese, language.Indonesian, language.Vietnamese, language.Polish,
	} {
		for first := 'A'; first <= 'Z'; first++ {
			for second := 'A'; second <= 'Z'; second++ {
				region, err := language.ParseRegion(string([]rune{first, second}))
				if err != nil || !region.IsCountry() || region.Canonicalize() != region {
					continue
				}
				name := display.Regions(tag).Name(region)
				if name == "" || name == "Nga" { // it is no more, or the code of another
					continue
				}
				got, err := customer.Normalize(customer.Country, name, "")
				require.NoError(t, err, "%s in %s", region, tag)
				require.Equal(t, strings.ToLower(region.String()), got)
			}
		}
	}
}

func TestBirthdays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"16.02.1997": "19970216", "16. 2. 1997": "19970216", "1.2.1997": "19970201", "02.16.1997": "",
		"16/02/1997": "19970216", "02/16/1997": "19970216", "05/05/1997": "19970505", "02/03/1997": "", "2-3-1997": "", "16-2-1997": "19970216",
		"1997/02/16": "19970216", "1997/2/6": "19970206", "1997.02.16": "19970216", "1997 02 16": "19970216", "1997年2月16日": "19970216",
		"1997-02-16T00:00:00": "19970216", "1997-02-16T00:00:00.000Z": "19970216", "1997-02-15T23:00:00Z": "", "1997-02-16T00:00:00+02:00": "",
		"16 February 1997": "19970216", "Feb 16, 1997": "19970216", "16-feb-1997": "19970216", "16 Februar 1997": "",
		"16.02.97": "", "16021997": "", "0": "", "30.02.1997": "", "16.02.2997": "", "tomorrow": "",
	} {
		got, err := customer.Normalize(customer.Birthday, text, "")
		require.Equal(t, want, got, text)
		require.Equal(t, want == "", err != nil, text)
	}
}

func TestGenders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"F": "f", "Female": "f", "weiblich": "f", "FRAU": "f", "mujer": "f", "女性": "f", "หญิง": "f", "женский": "f", "Féminin": "f",
		"M": "m", "male": "m", "männlich": "m", "Hombre": "m", "男": "m", "ชาย": "m", "мужской": "m", "laki-laki": "m",
		"divers": "", "x": "", "w": "", "h": "", "1": "", "n/a": "", "female male": "",
	} {
		got, err := customer.Normalize(customer.Gender, text, "")
		require.Equal(t, want, got, text)
		require.Equal(t, want == "", err != nil, text)
	}
}
