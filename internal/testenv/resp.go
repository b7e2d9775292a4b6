package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// redisCommand executes one command on a connection of its own, as
// https://redis.io/docs/latest/develop/reference/protocol-spec describes it.
func redisCommand(addr string, database int, timeout time.Duration, command ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	in := bufio.NewReader(conn)
	var answer string
	for _, c := range [][]string{{"SELECT", strconv.Itoa(database)}, command} {
		if _, err := io.WriteString(conn, redisArray(c)); err != nil {
			return "", err
		}
		if answer, err = redisAnswer(in); err != nil {
			return "", err
		}
	}
	return answer, nil
}

func redisArray(words []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

// redisAnswer reads one answer, a list with all that is in it.
func redisAnswer(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, text := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+', ':':
		return text, nil
	case '-':
		return "", errors.New(text)
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("unknown answer %q", line)
	case kind == '$' && n >= 0:
		bulk := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(in, bulk)
		return string(bulk[:n]), err
	case kind == '*' && n >= 0:
		items := make([]string, n)
		for i := range items {
			if items[i], err = redisAnswer(in); err != nil {
				return "", err
			}
		}
		return strings.Join(items, "\n"), nil
	}
	return "", nil
}
