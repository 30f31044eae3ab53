export declare const howToInstall: string
export declare function findZooKeeper(): {classPath: string; command: string} | undefined
export declare function setupZooKeeper(say?: (line: string) => void): void
