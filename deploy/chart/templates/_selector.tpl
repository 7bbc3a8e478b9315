{{- /*
A label selector of the values in the words of kubectl and of windlass, by which it is an argument:
a=b,c in (d,e),!f
*/ -}}
{{- define "windlass.selector" -}}
{{- $parts := list -}}
{{- range $key, $value := .matchLabels -}}
{{- $parts = append $parts (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- range .matchExpressions -}}
{{- $values := .values | default (list) -}}
{{- $part := .key -}}
{{- if eq .operator "DoesNotExist" -}}
{{- $part = printf "!%s" .key -}}
{{- else if and (eq .operator "In") (eq (len $values) 1) -}}
{{- $part = printf "%s=%s" .key (first $values) -}}
{{- else if and (eq .operator "NotIn") (eq (len $values) 1) -}}
{{- $part = printf "%s!=%s" .key (first $values) -}}
{{- else if ne .operator "Exists" -}}
{{- $part = printf "%s %s (%s)" .key (lower .operator) (join "," $values) -}}
{{- end -}}
{{- $parts = append $parts $part -}}
{{- end -}}
{{- join "," $parts -}}
{{- end -}}
