package customer

import (
	"errors"
	"slices"
	"strings"
)

// gender reads f, m, and the words for them that forms have. Letters other than
// these two mean one thing here and another there.
func gender(text string) (string, error) {
	word := strings.ToLower(text)
	switch {
	case word == "f" || slices.Contains(strings.Fields(female), word):
		return "f", nil
	case word == "m" || slices.Contains(strings.Fields(male), word):
		return "m", nil
	default:
		return "", errors.New(`is neither "f" nor "m"`)
	}
}

// The words for women and men in the languages of the countries with the most
// people on Meta's platforms. Neither CLDR nor ISO has a list of them.
const (
	female = `female woman girl weiblich frau féminin feminin femme femenino femenina mujer feminino feminina mulher femminile donna
		vrouwelijk vrouw kobieta žena kvinna kvinde kvinne nainen nő femeie
		γυναίκα kadın женский женщина жіноча жінка أنثى امرأة נקבה
		महिला মহিলা perempuan wanita nữ หญิง 女 女性 여 여성 여자`
	male = `male man boy männlich mann masculin homme masculino hombre homem maschile uomo
		mannelijk mężczyzna muž mand mies férfi bărbat άνδρας άντρας erkek мужской мужчина чоловіча чоловік ذكر رجل זכר
		पुरुष পুরুষ laki-laki pria nam ชาย 男 男性 남 남성 남자`
)
