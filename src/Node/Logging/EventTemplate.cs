// SPDX-License-Identifier: Apache-2.0

using System.Text.RegularExpressions;

namespace Mooncake.Mesh.Node.Logging;

/// <summary>
/// A message template of the core, "event key={Value} key={Value}", taken apart: the core logs through the plain
/// logging interface and still gets one event with its keys a line.
/// </summary>
internal sealed partial class EventTemplate
{
    /// <summary>Name under which the logging interface passes the template.</summary>
    internal const string Format = "{OriginalFormat}";

    private readonly Dictionary<string, string> _keys;

    private EventTemplate(string name, Dictionary<string, string> keys)
    {
        Event = name;
        _keys = keys;
    }

    /// <summary>The event.</summary>
    internal string Event { get; }

    /// <summary>The template of a message, or null when it has another form.</summary>
    internal static EventTemplate? Of(IEnumerable<KeyValuePair<string, object?>>? pairs)
    {
        string? format = pairs?.FirstOrDefault(pair => pair.Key == Format).Value as string;
        if (format is null || !Form().IsMatch(format))
            return null;
        var keys = Key().Matches(format).ToDictionary(match => match.Groups[2].Value, match => match.Groups[1].Value);
        return new EventTemplate(format.Split(' ')[0], keys);
    }

    /// <summary>The key that a value's name stands behind.</summary>
    internal string KeyOf(string name) => _keys.GetValueOrDefault(name, name);

    [GeneratedRegex(@"^[a-z_]+( \w+=\{\w+(:[^}]*)?\})*$")]
    private static partial Regex Form();

    [GeneratedRegex(@"(\w+)=\{(\w+)")]
    private static partial Regex Key();
}
