// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// ib_write_bw and ib_read_bw between two processes on one device: one queue pair, 128 requests under way, blocks and
/// number of requests as told.
/// </summary>
internal sealed class Perftest(RdmaBenchOptions options, WorkKind kind, CancellationToken cancel)
{
    private const int FirstPort = 18_600;
    private static int s_runs;

    /// <summary>One run; MB/s, of 10^6 bytes.</summary>
    /// <exception cref="MeshException">The program is not there, or printed no figure.</exception>
    internal async Task<double> RunAsync()
    {
        string program = kind == WorkKind.Write ? "ib_write_bw" : "ib_read_bw";
        string device = options.Devices.Split(',')[0];
        // Each run on a port of its own: the one before may linger.
        int port = FirstPort + (Interlocked.Increment(ref s_runs) % 1000);
        string[] arguments =
        [
            "-F", "-q", "1", "-t", "128", "-p", port.ToString(CultureInfo.InvariantCulture),
            "-s", options.BlockBytes.ToString(CultureInfo.InvariantCulture),
            "-n", Math.Max(5, options.Iterations).ToString(CultureInfo.InvariantCulture),
        ];
        if (device.Length > 0)
            arguments = ["-d", device, .. arguments];
        using Process server = Start(program, arguments);
        await ListensAsync(port);
        using Process client = Start(program, [.. arguments, "127.0.0.1"]);
        string output = await client.StandardOutput.ReadToEndAsync(cancel);
        await client.WaitForExitAsync(cancel);
        if (!server.HasExited)
            server.Kill();
        return FigureOf(output) ?? throw new MeshException(new MeshError(MeshErrorCode.System, "bench",
            $"{program} printed no figure: {output.ReplaceLineEndings(" ")}"));
    }

    /// <summary>The average of a table "#bytes #iterations BW peak BW average MsgRate", in MB of 2^20 there.</summary>
    internal static double? FigureOf(string output)
    {
        string[] lines = output.Split('\n');
        int head = Array.FindIndex(lines, line => line.TrimStart().StartsWith("#bytes", StringComparison.Ordinal));
        if (head < 0 || head + 1 >= lines.Length)
            return null;
        string[] fields = lines[head + 1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length >= 4 && double.TryParse(fields[3], CultureInfo.InvariantCulture, out double mebibytes)
            ? mebibytes * (1 << 20) / 1e6
            : null;
    }

    private static Process Start(string program, string[] arguments)
    {
        try
        {
            return Process.Start(new ProcessStartInfo(program, arguments)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new MeshException(new MeshError(MeshErrorCode.System, "bench",
                $"{program} does not start: {e.Message}; install perftest"));
        }
    }

    /// <summary>Waits until something listens on a port: a client that comes before ends at once.</summary>
    private async Task ListensAsync(int port)
    {
        string wanted = string.Create(CultureInfo.InvariantCulture, $":{port:X4} ");
        for (int i = 0; i < 1000; i++)
        {
            foreach (string table in (string[])["/proc/net/tcp", "/proc/net/tcp6"])
            {
                // local address, remote address, state: 0A is LISTEN
                if (File.Exists(table) && (await File.ReadAllLinesAsync(table, cancel)).Any(line =>
                    line.Contains(wanted, StringComparison.Ordinal) && line.Contains(" 0A ", StringComparison.Ordinal)))
                    return;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(20), cancel);
        }
    }
}
