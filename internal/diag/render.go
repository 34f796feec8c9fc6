package diag

// Render is the list as text.
func (l List) Render(colour bool) string {
	text := ""
	for _, m := range l {
		text += m.Error() + "\n"
	}
	return text
}
