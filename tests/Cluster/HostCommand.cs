// SPDX-License-Identifier: Apache-2.0

using System.ComponentModel;
using System.Diagnostics;

namespace Mooncake.Mesh.Cluster;

/// <summary>Programs that change this machine's network.</summary>
internal static class HostCommand
{
    /// <summary>What a machine may not be able to do.</summary>
    public static async Task MakeAsync(string program, params string[] arguments)
    {
        try
        {
            var (code, _, error) = await RunAsync(program, arguments);
            Assert.SkipUnless(code == 0, $"'{program} {string.Join(' ', arguments)}': {error.Trim()}");
        }
        catch (Win32Exception)
        {
            Assert.Skip($"there is no '{program}' here: install iproute2");
        }
    }

    public static async Task CheckedAsync(string program, params string[] arguments)
    {
        var (code, _, error) = await RunAsync(program, arguments);
        Assert.True(code == 0, $"'{program} {string.Join(' ', arguments)}': {error}");
    }

    public static async Task<(int Code, string Output, string Error)> RunAsync(string program,
        params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var output = process.StandardOutput.ReadToEndAsync();
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, error);
    }
}
