package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/backend/password"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

// accountLine is one account in what users export writes and users import
// reads: a JSON object on a line. docs/operations.md describes it.
type accountLine struct {
	ID           string `json:"id,omitempty"`
	Username     string `json:"username"`
	Nickname     string `json:"nickname,omitempty"`
	CreatedAt    string `json:"created_at,omitempty"`
	Disabled     bool   `json:"disabled,omitempty"`
	Credential   string `json:"credential"`
	PasswordForm string `json:"password_form,omitempty"`
}

// nfcForm is the password_form of credentials whose password was normalised.
const nfcForm = "nfc"

// lineOf returns an account as a line tells it.
func lineOf(a store.Account) (accountLine, error) {
	credential, nfc, err := password.FormatPHC(a.Credential)
	if err != nil {
		return accountLine{}, fmt.Errorf("account %d: %w", a.User.ID, err)
	}
	line := accountLine{
		ID: strconv.FormatInt(a.User.ID, 10), Username: a.User.Username, Nickname: a.User.Nickname,
		CreatedAt: a.User.CreatedAt.Format(time.RFC3339Nano), Disabled: a.User.Disabled, Credential: credential,
	}
	if nfc {
		line.PasswordForm = nfcForm
	}
	return line, nil
}

// parseLine reads the JSON of a line. What it returns with an error may hold a
// username to report.
func parseLine(text []byte) (line accountLine, err error) {
	if !utf8.Valid(text) {
		return line, errors.New("not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&line); err != nil {
		if field, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
			return line, fmt.Errorf("unknown field %s", field)
		}
		return line, fmt.Errorf("malformed JSON: %w", jsonMistake(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return line, errors.New("malformed JSON: more than one value")
	}
	return line, nil
}

// jsonMistake leaves out of an error what quotes a value.
func jsonMistake(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("%s and not an object", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("%s is a %s", kind.Field, kind.Value)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("it ends too early")
	}
	return err
}

// account checks a line by the rules for accounts. The id and the time are
// zero where the line names none.
func (line accountLine) account(now time.Time) (a store.Account, err error) {
	a.User = user.User{Username: user.Fold(line.Username), Nickname: line.Nickname, Disabled: line.Disabled, Version: 1, AuthEpoch: 1}
	if problem := user.CheckUsername(a.User.Username); problem != "" {
		return a, fmt.Errorf("username %s", problem.Detail())
	}
	if a.User.Nickname == "" {
		a.User.Nickname = a.User.Username
	}
	if problem := user.CheckNickname(a.User.Nickname); problem != "" {
		return a, fmt.Errorf("nickname %s", problem.Detail())
	}
	if line.ID != "" {
		if a.User.ID, err = strconv.ParseInt(line.ID, 10, 64); err != nil || a.User.ID < 1 {
			return a, errors.New("id is not a number from 1 to 9223372036854775807 in quotes")
		}
	}
	if a.User.CreatedAt, err = line.created(now); err != nil {
		return a, err
	}
	if line.PasswordForm != "" && line.PasswordForm != nfcForm {
		return a, fmt.Errorf("password_form is neither left out nor %q", nfcForm)
	}
	a.Credential, err = password.ParsePHC(line.Credential, line.PasswordForm == nfcForm)
	return a, err
}

func (line accountLine) created(now time.Time) (time.Time, error) {
	if line.CreatedAt == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, line.CreatedAt)
	if err != nil {
		return time.Time{}, errors.New("created_at is not a time like 2026-02-03T12:00:00Z")
	}
	if at.Unix() < 0 || at.After(now.Add(24*time.Hour)) {
		return time.Time{}, errors.New("created_at is before 1970 or in the future")
	}
	return at.UTC().Truncate(time.Microsecond), nil
}
