// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>A device of the machine that a test breaks, and that is whole again after it.</summary>
/// <param name="device">Its number.</param>
/// <param name="mends">What makes it whole again.</param>
internal sealed class BrokenNic(int device, string mends) : IAsyncDisposable
{
    private bool _isBroken;

    /// <summary>Breaks it; ends once that is done, which may need those who use it to let go of it.</summary>
    internal Task BreakAsync(string how)
    {
        _isBroken = true;
        return RunAsync(how);
    }

    /// <summary>Makes it whole, unless it is.</summary>
    internal async Task MendAsync()
    {
        if (!_isBroken)
            return;
        await RunAsync(mends);
        _isBroken = false;
    }

    public async ValueTask DisposeAsync() => await MendAsync();

    private async Task RunAsync(string action)
    {
        using var nic = Process.Start("nic", [$"{device}", action]);
        await nic.WaitForExitAsync();
        Assert.Equal(0, nic.ExitCode);
    }
}
