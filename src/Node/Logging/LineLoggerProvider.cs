// SPDX-License-Identifier: Apache-2.0

using System.Collections;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Node.Logging;

/// <summary>
/// Writes one line for each event: UTC time, level, event, key=value. The event is the event's name or the category's
/// last part; an exception is its type and message, never a stack trace. Thread-safe.
/// </summary>
internal sealed class LineLoggerProvider(TextWriter output, TimeProvider time, LogThreshold threshold) : ILoggerProvider
{
    private readonly Lock _gate = new();

    public ILogger CreateLogger(string categoryName) => new LineLogger(this, categoryName);

    public void Dispose()
    {
    }

    private void Write(string line)
    {
        lock (_gate)
        {
            try
            {
                output.WriteLine(line);
                output.Flush();
            }
            catch (IOException)
            {
                // Whoever read the log has gone; serving goes on without.
            }
        }
    }

    private static void Pair(StringBuilder line, string name, object? value)
    {
        string text = value switch
        {
            null => "",
            string s => s,
            bool b => b ? "true" : "false",
            IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
            IEnumerable list => string.Join(',', list.Cast<object?>()),
            _ => value.ToString() ?? "",
        };
        line.Append(' ').Append(name).Append('=');
        if (text.Length > 0 && !text.Any(c => c is ' ' or '"' or '=' || char.IsControl(c)))
        {
            line.Append(text);
            return;
        }

        line.Append('"');
        foreach (char c in text)
        {
            _ = c switch
            {
                '"' or '\\' => line.Append('\\').Append(c),
                '\n' => line.Append("\\n"),
                '\r' => line.Append("\\r"),
                _ when char.IsControl(c) => line.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => line.Append(c),
            };
        }

        line.Append('"');
    }

    private sealed class LineLogger(LineLoggerProvider owner, string category) : ILogger
    {
        private readonly string _event = category[(category.LastIndexOf('.') + 1)..];
        private readonly TimeProvider _time = owner.Time;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= owner.Least && logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
                return;
            var line = new StringBuilder(160);
            line.Append(_time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
            line.Append(' ').Append(LineLevel.Name(logLevel)).Append(' ');
            var pairs = state as IEnumerable<KeyValuePair<string, object?>>;
            EventTemplate? template = string.IsNullOrEmpty(eventId.Name) ? EventTemplate.Of(pairs) : null;
            line.Append(!string.IsNullOrEmpty(eventId.Name) ? eventId.Name
                : template is null ? _event
                : $"{_event}.{template.Event}");
            string? message = string.IsNullOrEmpty(eventId.Name) && template is null
                ? formatter(state, exception)
                : null;
            if (!string.IsNullOrEmpty(message))
                Pair(line, "message", message);
            foreach ((string name, object? value) in pairs ?? [])
            {
                if (name != EventTemplate.Format)
                    Pair(line, template?.KeyOf(name) ?? name, value);
            }

            if (exception is not null)
                Pair(line, "error", $"{exception.GetType().Name}: {exception.Message}");
            owner.Write(line.ToString());
        }
    }

    private TimeProvider Time => time;

    private LogLevel Least => threshold.Least;
}
