// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer;

/// <summary>Ended transfers, so that one that ends at once allocates nothing.</summary>
internal static class Outcomes
{
    public static readonly Task<TransferOutcome> Done = Task.FromResult(TransferOutcome.Done);
    public static readonly Task<TransferOutcome> Stale = Task.FromResult(TransferOutcome.Stale);
    public static readonly Task<TransferOutcome> Unreachable = Task.FromResult(TransferOutcome.Unreachable);
    public static readonly Task<TransferOutcome> Late = Task.FromResult(TransferOutcome.Late);

    public static readonly Task<TransferOutcome> DeviceFailed = Task.FromResult(TransferOutcome.DeviceFailed);

    public static Task<TransferOutcome> Of(TransferOutcome outcome) => outcome switch
    {
        TransferOutcome.Done => Done,
        TransferOutcome.Stale => Stale,
        TransferOutcome.Late => Late,
        TransferOutcome.DeviceFailed => DeviceFailed,
        _ => Unreachable,
    };
}
