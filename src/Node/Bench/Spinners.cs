// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// Two processes at the lowest priority that keep the cores awake: a halted virtual core takes tens of microseconds to
/// come back, which would be measured as latency. Where there is "chrt" they are of the class that runs only when
/// nothing else does: one that is merely nice keeps a thread that wakes waiting for its slice, a millisecond and more.
/// </summary>
internal sealed class Spinners : IDisposable
{
    private readonly List<Process> _processes = [];

    internal Spinners()
    {
        for (int i = 0; i < 2; i++)
        {
            var start = new ProcessStartInfo("nice", ["-n", "19", "sh", "-c", "chrt -i -p 0 $$; "
                + "while kill -0 $PPID; do n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done; done"])
            {
                RedirectStandardError = true,
            };
            _processes.Add(Process.Start(start)!);
        }
    }

    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }
    }
}
