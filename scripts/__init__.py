"""What writes files of this repository anew: values, the operator's files, what names a code location."""
