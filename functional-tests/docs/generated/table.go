// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package generated

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Type is how the table shows the values of one type.
type Type struct {
	// Name is what a reader calls the type, with its unit.
	Name string
	// Show gives a value as it is written in the file.
	Show func(reflect.Value) string
}

// Table shows the keys of a TOML file by the struct that they are read into:
// key, type, default, meaning.
type Table struct {
	// Package is the folder with the struct's source, for the comments.
	Package string
	// Types are shown in a way of their own. Strings, lists of strings, truth
	// values and tables need none.
	Types map[reflect.Type]Type
	// Names stand for the keys of a map, which the file's author chooses, by
	// the map's key.
	Names map[string]string
}

// Markdown renders the table. The defaults are the struct's values; a nil
// pointer and an empty string have none.
func (t Table) Markdown(defaults any) (string, error) {
	comments, err := fieldComments(t.Package)
	if err != nil {
		return "", err
	}
	r := rows{Table: t, comments: comments}
	if err := r.addStruct("", reflect.ValueOf(defaults)); err != nil {
		return "", err
	}
	return "| key | type | default | meaning |\n|---|---|---|---|\n" + r.out.String(), nil
}

type rows struct {
	Table
	comments map[string]string
	out      strings.Builder
}

func (r *rows) addStruct(prefix string, s reflect.Value) error {
	for i := range s.NumField() {
		field := s.Type().Field(i)
		key, tagged := field.Tag.Lookup("toml")
		if !tagged {
			continue
		}
		if err := r.add(prefix+key, s.Type().Name()+"."+field.Name, s.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// add makes a row of a value, or the rows of a table.
func (r *rows) add(key, field string, value reflect.Value) error {
	shown, own := r.Types[deref(value.Type())]
	switch {
	case own:
	case value.Kind() == reflect.Struct:
		return r.addStruct(key+".", value)
	case value.Kind() == reflect.Map:
		return r.addMap(key, value)
	case value.Kind() == reflect.String:
		shown = Type{Name: "string", Show: func(v reflect.Value) string { return strconv.Quote(v.String()) }}
	case deref(value.Type()).Kind() == reflect.Bool:
		shown = Type{Name: "true or false", Show: func(v reflect.Value) string { return strconv.FormatBool(v.Bool()) }}
	case value.Type() == reflect.TypeFor[[]string]():
		shown = Type{Name: "list of strings", Show: list}
	default:
		return fmt.Errorf("%s: nobody says how a %s is shown", field, value.Type())
	}
	comment, ok := r.comments[field]
	if !ok {
		return fmt.Errorf("%s: the field has no comment", field)
	}
	fmt.Fprintf(&r.out, "| `%s` | %s | %s | %s |\n", key, shown.Name, show(shown, value), cell(comment))
	return nil
}

// addMap shows one element for all.
func (r *rows) addMap(key string, elements reflect.Value) error {
	if elements.Len() != 1 {
		return fmt.Errorf("%s: a table needs one element by default to be shown, and has %d", key, elements.Len())
	}
	name := elements.MapKeys()[0]
	shown, ok := r.Names[key]
	if !ok {
		return fmt.Errorf("%s: nobody says what its keys are called", key)
	}
	return r.addStruct(key+"."+shown+".", elements.MapIndex(name))
}

func show(t Type, value reflect.Value) string {
	switch {
	case value.Kind() == reflect.Pointer && value.IsNil(), value.Kind() == reflect.String && value.Len() == 0:
		return "none"
	case value.Kind() == reflect.Pointer:
		value = value.Elem()
	}
	return "`" + cell(t.Show(value)) + "`"
}

func list(v reflect.Value) string {
	quoted := make([]string, v.Len())
	for i := range quoted {
		quoted[i] = strconv.Quote(v.Index(i).String())
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
