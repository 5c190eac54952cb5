// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Node.Logging;

namespace Mooncake.Mesh.Node.Tests.Logging;

public sealed class LineLoggerTests
{
    private readonly StringWriter _lines = new();
    private readonly ILogger _log;

    public LineLoggerTests() =>
        _log = new LineLoggerProvider(_lines, new FixedTime(), new LogThreshold(LogLevel.Information))
            .CreateLogger("Mooncake.Mesh.Serve");

    [Fact]
    public void A_line_is_time_level_event_and_pairs()
    {
        _log.Event(
            LogLevel.Information, "node.serving", "{nodeId} {endpoint} {count} {on}", "n1", "[::1]:73", 1.5, true);
        Assert.Equal("2026-01-02T03:04:05.678Z info node.serving nodeId=n1 endpoint=[::1]:73 count=1.5 on=true\n",
            _lines.ToString());
    }

    [Fact]
    public void Odd_values_are_quoted_and_stay_on_one_line()
    {
        _log.Event(LogLevel.Warning, "odd", "{a} {b} {c} {d}", "two words", "x\"\\y", "line\r\nbreak\u0001", null);
        Assert.EndsWith(" warn odd a=\"two words\" b=\"x\\\"\\\\y\" c=\"line\\r\\nbreak\\u0001\" d=\"\"\n",
            _lines.ToString());
    }

    [Fact]
    public void An_event_without_a_name_is_its_category_and_message()
    {
        _log.LogInformation("node {Id} is here", 7);
        Assert.EndsWith(" info Serve message=\"node 7 is here\" Id=7\n", _lines.ToString());
    }

    [Fact]
    public void An_exception_is_its_type_and_message_without_a_stack_trace()
    {
        _log.Log(LogLevel.Error, new EventId(0, "failed"), Caught(), "{a}", 1);
        Assert.EndsWith(" error failed a=1 error=\"IOException: no disk\"\n", _lines.ToString());
        Assert.Single(_lines.ToString().TrimEnd('\n').Split('\n'));
    }

    [Fact]
    public void Below_the_least_level_nothing_is_written()
    {
        _log.Event(LogLevel.Debug, "quiet", "{a}", 1);
        Assert.Empty(_lines.ToString());
    }

    [Fact]
    public void What_libraries_print_becomes_events()
    {
        using var writer = new ForeignWriter(_log);
        writer.Write("watch ");
        writer.WriteLine("lost");
        writer.WriteLine();
        Assert.EndsWith(" warn console text=\"watch lost\"\n", _lines.ToString());
    }

    private static IOException Caught()
    {
        try
        {
            throw new IOException("no disk");
        }
        catch (IOException e)
        {
            return e;
        }
    }

    private sealed class FixedTime : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
    }
}
