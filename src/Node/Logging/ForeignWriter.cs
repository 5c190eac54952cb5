// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Node.Logging;

/// <summary>
/// Takes the console's place for libraries that write to it, so that results on standard output stay whole: each line
/// becomes a log event "console". Thread-safe.
/// </summary>
internal sealed class ForeignWriter(ILogger log) : TextWriter
{
    private const int MaxLine = 4096;
    private readonly Lock _gate = new();
    private readonly StringBuilder _line = new();

    public override Encoding Encoding => Encoding.UTF8;

    public override void Write(char value)
    {
        string line;
        lock (_gate)
        {
            if (value != '\n' && _line.Length < MaxLine)
            {
                _line.Append(value);
                return;
            }

            line = _line.ToString().TrimEnd('\r');
            _line.Clear();
        }

        if (line.Length > 0)
            log.Log(LogLevel.Warning, new EventId(0, "console"), "{text}", line);
    }
}
